"""Whether the service has the network if the settings need it, and only then."""

import re
from collections.abc import Iterator
from pathlib import Path

from daemon.home.folder import Home
from daemon.home.receivers import needs_network
from daemon.home.settings import Settings
from daemon.maintenance.finding import Line

UNITS = Path("/etc/systemd/system")
LOOPBACK_ALONE = "metrics.conf"  # it lets in, and reaches nobody
DROP_IN = "vidwatch.service.d/network.conf"


def check_network(home: Home, loaded: Settings, units: Path = UNITS) -> Iterator[Line]:
    """Compare the settings with what the service of this home may do.

    Args:
        home: The home.
        loaded: Its settings.
        units: Where the units of the service lie.
    """
    if not _is_of_service(home, units):
        return
    names = [name for name, receiver in loaded.receivers.items() if needs_network(receiver)]
    texts = _drop_ins(units)
    texts.pop(LOOPBACK_ALONE, None)
    may_reach = any("PrivateNetwork=no" in text for text in texts.values())
    drop_in = units / DROP_IN
    if names and not may_reach:
        problem = f"the service has no network, which {', '.join(names)} needs"
        hint = f"install -D -m 644 deploy/network.conf {drop_in}, then systemctl daemon-reload"
        text = f"{problem}; as root: {hint} and systemctl restart vidwatch"
        yield Line("network", "problem", text)
    elif may_reach and not names:
        problem = "the service may reach the network, and no receiver of the settings needs it"
        yield Line("network", "warning", f"{problem}; remove {drop_in}")
    elif names:
        yield Line("network", "ok", f"the service may reach it, for {', '.join(names)}")


def _is_of_service(home: Home, units: Path) -> bool:
    texts = [_read(units / "vidwatch.service"), *_drop_ins(units).values()]
    homes = re.findall(r"VIDWATCH_HOME=([^\s\"]+)", "\n".join(texts))
    return str(home.root) in homes


def _drop_ins(units: Path) -> dict[str, str]:
    """The texts of all drop-ins, by name."""
    return {path.name: _read(path) for path in (units / DROP_IN).parent.glob("*.conf")}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

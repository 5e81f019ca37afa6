"""Two processes of one training, started by torchrun."""

import subprocess
import sys
from functools import cache


@cache
def torchrun() -> tuple[str, ...]:
    """The words that start two, in a network of their own if the system lets us make one.

    Our processes connect within the machine; torchrun itself listens on all addresses.
    """
    own_network = ("unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    start = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    try:
        is_able = subprocess.run([*own_network, "true"], capture_output=True).returncode == 0
    except OSError:  # no such command
        is_able = False
    return (*own_network, *start) if is_able else start

"""Serves the metrics of the daemon to a Prometheus server on this machine."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.home.clock import now
from daemon.home.folder import Home

if TYPE_CHECKING:
    from daemon.report.metrics import Worker

ADDRESS = "127.0.0.1"  # no other machine can reach it


def serve_metrics(
    home: Home, port: int, worker: "Worker", note: Callable[[str | None], None]
) -> Callable[[], None]:
    """Serve them in a thread of its own; gives what ends it.

    If the port cannot be had, that is shown, and the daemon goes on without them.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    from daemon.report.metrics import HomeMetrics

    registry = CollectorRegistry()
    registry.register(HomeMetrics(home, worker, now))
    try:
        server, thread = start_http_server(port, ADDRESS, registry)
    except OSError as error:
        hint = "change metrics_port, or end the program that has it"
        note(f"none: {ADDRESS}:{port} cannot be used ({error.strerror}); {hint}")
        return lambda: None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1)

    return stop

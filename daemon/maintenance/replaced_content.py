"""Replaces the content of a database on a server, and keeps the old one in a schema there."""

from datetime import UTC, datetime
from pathlib import Path

from daemon.database import dumps
from daemon.database.connection import explaining
from daemon.database.schemas import begin_restore, end_restore, schema_in_use, undo_restore
from daemon.database.upgrade import migrate, require_known
from daemon.home.address import Server
from daemon.maintenance.backup import require_kind
from learner.errors import VidwatchError


class ContentReplacement:
    """A restore on a server. Until it is finished, a mark there keeps daemons from starting."""

    def __init__(self, server: Server) -> None:
        """Nothing is changed yet."""
        self._server = server
        self.fresh = server

    def begin(self, source: Path | None, now: datetime) -> Server | None:
        """Move the old content to a schema, which is given, and make that of a backup, or none.

        Raises:
            VidwatchError: the backup cannot be used, or other programs use the database; then all
                is as before.
        """
        server = self._server
        with explaining(server):
            schema = schema_in_use(server)
            if source:
                _require_ours(source, schema)
            kept = begin_restore(server, f"replaced_{now.astimezone(UTC):%Y%m%dt%H%M%Sz}")
            try:
                if source:
                    dumps.put_back(source, server, schema)
                migrate(server)
            except VidwatchError:
                undo_restore(server, kept)
                raise
        return kept

    def finish(self, _: datetime) -> None:
        """Let daemons start again."""
        end_restore(self._server)


def _require_ours(source: Path, schema: str) -> None:
    """Check that a backup is a whole copy of a database of vidwatch on a server."""
    require_kind(source, dumps.HEADER, "is no copy of a database on a server (vidwatch-….dump)")
    if damage := dumps.problem_of(source):
        raise VidwatchError(f"backup {source} is damaged ({damage}); name another one")
    revision = dumps.revision_in(source, schema)
    if revision is None:
        problem = "is no database of vidwatch, but of another program"
        raise VidwatchError(f"backup {source} {problem}; name another one")
    require_known(revision, f"backup {source}")

"""Notes which duplicates are removed from the inbox, before they are and afterwards."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine, select, update

from daemon.database.files import rests_here
from daemon.database.records import FREED, Move
from daemon.database.tables import videos


class Drops:
    """The duplicates whose files are removed. Removes nothing itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writes=True)

    def first_at(self, video_id: int) -> bytes | None:
        """Where the file of a filed video rests; None if it is still to be moved."""
        query = select(videos.c.path).where(videos.c.id == video_id, rests_here())
        with self._engine.begin() as connection:
            path: bytes | None = connection.scalar(query)
            return path

    def begin(
        self, moves: Sequence[Move], firsts: Mapping[int, bytes], now: datetime
    ) -> list[Move]:
        """Note that these files are to be removed.

        If the daemon is ended after that, and a file is gone, then it was removed.

        Args:
            moves: The duplicates, as they would be moved.
            firsts: Where the file of the first video with the same content lies, by its id.
            now: The time.

        Returns:
            Those of them that are still duplicates of the same files.
        """
        begun = []
        with self._writer.begin() as connection:
            for move in moves:
                assert move.copy_of is not None
                first = select(videos.c.id).where(
                    videos.c.id == move.copy_of,
                    videos.c.path == firsts[move.copy_of],
                    rests_here(),
                )
                this = update(videos).where(
                    videos.c.id == move.id,
                    videos.c.state == "classified",
                    videos.c.path == move.path,
                    videos.c.destination == move.destination,
                    videos.c.duplicate_of == move.copy_of,
                    first.exists(),
                )
                if connection.execute(this.values(dropped_at=now)).rowcount:
                    begun.append(move)
        return begun

    def complete(self, moves: Iterable[Move], now: datetime) -> None:
        """Note that these files were removed. Their rows keep where they were."""
        ids = [move.id for move in moves]
        done = {"state": "filed", "finished_at": now, "destination": None, "moving_to": None}
        with self._writer.begin() as connection:
            these = update(videos).where(videos.c.id.in_(ids), videos.c.dropped_at.is_not(None))
            connection.execute(these.values(**done, **FREED))

    def undo(self, moves: Iterable[Move]) -> None:
        """Note that these files were not removed: they are moved as others are."""
        ids = [move.id for move in moves]
        with self._writer.begin() as connection:
            these = update(videos).where(videos.c.id.in_(ids), videos.c.state == "classified")
            connection.execute(these.values(dropped_at=None))

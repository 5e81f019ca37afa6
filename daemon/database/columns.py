"""What the tables of the database are made of: times, names of constraints, fixed words."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, MetaData, TypeDecorator

Id = Integer().with_variant(BigInteger, "postgresql")
"""The id of a row, or one that refers to a row. On a server, there may be billions."""


class Utc(TypeDecorator[datetime]):
    """Datetimes with a time zone, stored in UTC without one: SQLite has no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, without a time zone."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From UTC, with that time zone."""
        return value.replace(tzinfo=UTC) if value else None


class HomePath(TypeDecorator[bytes]):
    """Absolute paths, the exact bytes.

    On a server, paths in the home are stored as `./inbox/a.mp4`, since each machine has the home at
    a path of its own. The connection knows it: see `daemon/database/postgres.py`.
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """To the stored form."""
        root: bytes | None = getattr(dialect, "home_root", None)
        if root is None or value is None or not (value + b"/").startswith(root + b"/"):
            return value
        return b"." + value[len(root) :]

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        """To an absolute path on this machine."""
        root: bytes | None = getattr(dialect, "home_root", None)
        if root is None or value is None or not (bytes(value) + b"/").startswith(b"./"):
            return bytes(value) if value is not None else None
        return root + bytes(value)[1:]


class FileSystem(TypeDecorator[int]):
    """The number of a file system.

    It differs from machine to machine. So on a server, those that the home's folders lie on have
    numbers of their own, and no other has one. The connection knows them: see
    `daemon/database/postgres.py`.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """To the stored number."""
        stored: dict[int, int] | None = getattr(dialect, "file_systems", None)
        return value if stored is None or value is None else stored.get(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """To the number on this machine, now."""
        stored: dict[int, int] | None = getattr(dialect, "file_systems", None)
        if stored is None or value is None:
            return None if value is None else int(value)
        return next((number for number, known in stored.items() if known == value), None)


class Below(HomePath):
    """A folder, as the text that the paths of all files in it begin with: it ends in a slash."""

    end = b"/"
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        """To the stored form, with its end."""
        stored = super().process_bind_param(value, dialect)
        return None if stored is None else stored + self.end


class Behind(Below):
    """A folder, as the first text after the paths of all files in it."""

    end = b"0"  # "0" follows "/"
    cache_ok = True


NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""How indexes and constraints are named."""

metadata = MetaData(naming_convention=NAMING)
"""All tables of the database."""


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The condition that a column has one of these values, as SQL."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({quoted})"

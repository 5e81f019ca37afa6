"""Objects of a store such as S3, by fsspec: listed page by page, and fetched one by one.

Addresses and credentials are found by the library of the store, as AWS_ENDPOINT_URL and
AWS_PROFILE are by S3's.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from daemon.classify.decoding import Undecoded
from daemon.home.folders import Folders, Found
from daemon.home.identity import Identity, base_name
from daemon.home.left_alone import LeftAlone
from daemon.home.settings import Settings
from daemon.home.sidecars import is_video_by_name
from daemon.home.sources import Source
from daemon.home.texts import printable
from learner.errors import PassingError, VidwatchError
from learner.groups import compile_pattern

BATCH = 200  # files
S3 = ("s3", "s3a")


class _Object(NamedTuple):
    path: str
    """Behind the protocol: `bucket/key`."""
    size: int
    mtime_ns: int
    version: str
    """Changes with the content, as S3's ETag."""


class StoreListing:
    """The videos among the objects of stores, batch by batch."""

    def __init__(self, home: Path, settings: Settings) -> None:
        """Nothing is listed yet.

        Args:
            home: The home's folder.
            settings: How groups are named, and what is left alone.
        """
        self.others: Counter[str] = Counter()
        """How many objects are no videos by their names, by the endings of these."""
        self._home = home
        self._pattern = compile_pattern(settings.group_pattern)
        self._left_alone = LeftAlone(settings.ignore)

    def videos(self, url: str) -> Iterator[list[Found]]:
        """An object, or the objects below a place, that are videos by their names.

        Raises:
            VidwatchError: there is nothing, or it may not be read.
            PassingError: the store cannot be reached.
        """
        with _explained(url):
            protocol = url.partition("://")[0]
            store, path = _store_of(url)
            is_object = store.isfile(path)
            top = path.rpartition("/")[0] if is_object else path.rstrip("/")
            folder = os.fsencode(f"{protocol}://{top}")
            source = Source(folder, printable(top.rpartition("/")[2]), "leave")
            folders = Folders(self._home, sources=[source])
            batch: list[Found] = []
            for found in _objects(store, path, protocol, is_object=is_object):
                name = os.fsencode(f"{protocol}://{found.path}")
                if self._left_alone.file(name[len(folder) + 1 :]):
                    continue
                if not is_video_by_name(base_name(name)):
                    self.others[printable(Path(found.path).suffix.lower())] += 1
                    continue
                number = blake2b(f"{name!r} {found.version}".encode(), digest_size=7).digest()
                inode = int.from_bytes(number)
                identity = Identity(None, inode, found.size, found.mtime_ns)
                batch.append(folders.placed(Found(name, identity), self._pattern))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
            yield batch


def fetch(url: str, size: int, target: Path) -> Undecoded | None:
    """Copy an object to a file; gives why that cannot be done, if it cannot.

    Args:
        url: The object.
        size: Its size when it was listed, in bytes.
        target: The file to write.
    """
    try:
        store, path = _store_of(url)
        store.get_file(path, str(target))
    except FileNotFoundError:
        return Undecoded("failed", "vanished before it could be read")
    except PermissionError as error:
        return Undecoded("failed", f"cannot be read ({_first_line(error)})")
    except _errors() as error:
        return Undecoded("later", f"cannot be fetched ({_first_line(error)})")
    if target.stat().st_size != size:
        return Undecoded("later", "it changed while it was read")
    return None


def _store_of(url: str) -> tuple[Any, str]:
    """The store that an address names, and the path there.

    Raises:
        VidwatchError: something is not installed, or there is no such kind of store.
    """
    try:
        from fsspec.core import url_to_fs

        found: tuple[Any, str] = url_to_fs(url)
    except ImportError as error:
        need = f"{url}: what reads it is not installed ({error})"
        raise VidwatchError(f"{need}: pip install 'vidwatch[cluster]'") from error
    except ValueError as error:
        raise VidwatchError(f"{url}: {error}") from error
    return found


def _objects(store: Any, path: str, protocol: str, *, is_object: bool) -> Iterator[_Object]:
    """The objects at or below a path, in the order of their names."""
    if is_object:
        yield _object_of(store.info(path))
        return
    if protocol in S3:
        yield from _objects_of_s3(store, path)
        return
    is_there = False
    for _, _, files in store.walk(path, detail=True):
        for info in sorted(files.values(), key=lambda info: str(info["name"])):
            is_there = True
            yield _object_of(info)
    if not is_there:
        raise FileNotFoundError


def _objects_of_s3(store: Any, path: str) -> Iterator[_Object]:
    """A page of a thousand objects at a time: fsspec itself would hold a whole bucket."""
    bucket, _, prefix = path.strip("/").partition("/")
    asked = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else ""}
    is_there = False
    while True:
        page = store.call_s3("list_objects_v2", **asked)
        for info in page.get("Contents", ()):
            is_there = True
            if not info["Key"].endswith("/"):
                times = _nanoseconds(info["LastModified"])
                yield _Object(f"{bucket}/{info['Key']}", info["Size"], times, info["ETag"])
        if not page.get("IsTruncated"):
            break
        asked["ContinuationToken"] = page["NextContinuationToken"]
    if not is_there and prefix:
        raise FileNotFoundError


def _object_of(info: dict[str, Any]) -> _Object:
    when = info.get("LastModified") or info.get("mtime") or info.get("created") or 0
    version = str(info.get("ETag") or info.get("etag") or "")
    return _Object(str(info["name"]), int(info["size"] or 0), _nanoseconds(when), version)


def _nanoseconds(when: Any) -> int:
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    return round(seconds * 1000) * 1_000_000


def _errors() -> tuple[type[Exception], ...]:
    """What reading a store raises: some libraries have errors of their own."""
    errors: Sequence[type[Exception]] = (OSError, TimeoutError)
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return tuple(errors)
    return (*errors, BotoCoreError, ClientError)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise VidwatchError(f"{url}: there is no such object, folder or bucket") from error
    except PermissionError as error:
        hint = "check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and what they may read"
        raise VidwatchError(f"{url}: refused ({_first_line(error)}): {hint}") from error
    except _errors() as error:
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            raise VidwatchError(f"{url}: {_first_line(error)}") from error
        raise PassingError(f"{url}: the store cannot be read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return printable(str(error).partition("\n")[0]) or type(error).__name__

"""Note the files that rows come from: what is kept of them, and how another run knows them again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO

from axlstm.errors import AudioError
from axlstm.files import readable_name

_BLOCK = 4096  # bytes
_BLOCKS = 16
_READ_BYTES = 1 << 20
_DIGEST_BYTES, _PLACE_BYTES = 16, 8


@dataclass(frozen=True)
class Origin:
    """The file that a row was computed from. What is not known is -1 or empty: rows of earlier versions know nothing.

    A pipe has a size and a digest alone.
    """

    size_bytes: int = -1
    modified: int = -1  # time of its last change, in ns since 1970
    place: str = ""  # hash of the absolute path, which may hold the name of a user
    quick_digest: str = ""  # of the size and some blocks, see `quick_digest`
    digest: str = ""  # of the content


UNKNOWN = Origin()
RowKey = tuple[str, Origin]
"""The path and the content, which together tell rows apart: a path can have had several contents."""


ORIGIN_COLUMNS: dict[str, type] = {name: type(value) for name, value in asdict(UNKNOWN).items()}
"""The columns that files of embeddings have for the origin of a row, and the type of each."""


def make_keys(paths: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> list[RowKey]:
    """Join the columns of paths and origins; files of earlier versions have none of the latter.

    Raises:
        ValueError: only some of the columns, or values of another type.
    """
    if not columns:
        return [(path, UNKNOWN) for path in paths]
    if missing := sorted(ORIGIN_COLUMNS.keys() - columns.keys()):
        raise ValueError(f"no column {', '.join(missing)}")
    if not all(type(value) is kind for name, kind in ORIGIN_COLUMNS.items() for value in columns[name]):
        raise ValueError("a column of origins with other values than it should have")
    origins = (Origin(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
    return list(zip(paths, origins, strict=True))


def key_runs(keys: Iterable[RowKey]) -> Iterator[tuple[RowKey, slice]]:
    """Find the rows that follow one another and have one key."""
    begin = 0
    for key, rows in groupby(keys):
        end = begin + sum(1 for _ in rows)
        yield key, slice(begin, end)
        begin = end


def read_origin(file: Path, place: str) -> Origin:
    """Read the facts of a file, and all of its content.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb", buffering=0) as opened:
        facts = os.fstat(opened.fileno())
        quick = quick_digest(opened, facts.st_size)
        return Origin(facts.st_size, facts.st_mtime_ns, place, quick, content_digest(opened))


def has_changed(file: Path, origin: Origin) -> bool:
    """Tell whether a file changed after `read_origin`, by its size and time."""
    facts = file.stat()
    return (facts.st_size, facts.st_mtime_ns) != (origin.size_bytes, origin.modified)


def copy_pipe(file: Path) -> tuple[Path, Origin]:
    """Copy all that a pipe gives to a temporary file.

    Raises:
        AudioError: the pipe cannot be read.
        OSError: the copy cannot be written; nothing is left of it.
    """
    with NamedTemporaryFile(prefix="axlstm-", delete=False) as copy:
        content = Path(copy.name)
        try:
            copy.writelines(_blocks(file))
            copy.flush()
            return content, replace(read_origin(content, ""), modified=UNKNOWN.modified, quick_digest="")
        except BaseException:
            content.unlink(missing_ok=True)
            raise


def _blocks(pipe: Path) -> Iterator[bytes]:
    try:
        with pipe.open("rb") as opened:
            while block := opened.read(_READ_BYTES):
                yield block
    except OSError as error:
        raise AudioError(f"{pipe}: a pipe that cannot be read ({error.strerror})") from error


def hash_place(place: Path) -> str:
    """Hash a path in which links are resolved."""
    return blake2b(os.fsencode(place), digest_size=_PLACE_BYTES).hexdigest()


def quick_digest(file: BinaryIO, size: int) -> str:
    """Hash a file's size and sixteen blocks of 4 KB, evenly spaced from its head to its tail; a small file whole."""
    digest = blake2b(str(size).encode(), digest_size=_DIGEST_BYTES)
    last = size - _BLOCK
    starts = range(0, size, _BLOCK) if size <= _BLOCK * _BLOCKS else (last * i // (_BLOCKS - 1) for i in range(_BLOCKS))
    for start in starts:
        file.seek(start)
        digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def content_digest(file: BinaryIO) -> str:
    """Hash all of a file."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    file.seek(0)
    while block := file.read(_READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


class KnownFiles:
    """The files of the rows that an output has already."""

    def __init__(self, keys: Iterable[RowKey]) -> None:
        self.paths: set[str] = set()  # of rows of earlier versions, which are known by their path alone
        self._rows: dict[str, list[Origin]] = {}  # by place; pipes have none
        self._places: dict[str, set[str]] = {}  # of the rows of a path
        for path, origin in keys:
            if origin.digest:
                self._rows.setdefault(origin.place, []).append(origin)
                self._places.setdefault(path, set()).add(origin.place)
            else:
                self.paths.add(path)

    def had_other_content(self, place: str) -> bool:
        """Tell whether there are rows of this place; asked of files that `hold` does not know."""
        return place in self._rows

    def hold(self, file: Path, place: str) -> bool:
        """Tell whether a row was computed from the file as it is now.

        Its place and size are those of the row, and its time and quick digest too; or, at another time, its digest.
        A file that cannot be read is not known.
        """
        if readable_name(file) in self.paths:
            return True
        try:
            facts = file.stat()
            alike = [row for row in self._rows.get(place, []) if row.size_bytes == facts.st_size]
            if not alike:
                return False
            with file.open("rb", buffering=0) as opened:
                quick = {row.quick_digest for row in alike if row.modified == facts.st_mtime_ns}
                if quick and quick_digest(opened, facts.st_size) in quick:
                    return True
                whole = {row.digest for row in alike if row.modified != facts.st_mtime_ns}
                return bool(whole) and content_digest(opened) in whole
        except OSError:
            return False

    def hold_pipe(self, origin: Origin) -> bool:
        """Tell whether a row was computed from a pipe with the same content."""
        return any(row.digest == origin.digest for row in self._rows.get("", []))

    def path(self, file: Path, real: Path, place: str) -> str:
        """Give the path of a new row: as typed, or absolute if that is the path of rows of another place."""
        typed = readable_name(file)
        return typed if self._places.get(typed, {place}) == {place} else readable_name(real)

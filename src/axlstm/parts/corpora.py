"""Find recordings inside tar, zip and parquet files, and read one of them without the others."""

from __future__ import annotations

import tarfile
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from axlstm.audio.find import kind_of, named_as_sound
from axlstm.bounds import MOST_PARQUET, MOST_ZIP_ENTRIES, StrictTarHeader, check_parquet
from axlstm.errors import StoreError, first_line
from axlstm.parts.entries import Entry

_READ_BYTES = 1 << 20
_BATCH_ROWS = 4096


class Corpus(ABC):
    """A file with recordings in it.

    Args:
        file: open, and sought in.
        name: its path or URL.
        stamp: what changes with its content.
    """

    def __init__(self, file: BinaryIO, name: str, stamp: str) -> None:
        self.file, self.name, self.stamp = file, name, stamp
        self._lock = threading.Lock()  # for threads that read ahead

    @abstractmethod
    def members(self) -> Iterator[Entry | str]:
        """Yield the recordings, and the suffix of each member that is not sound.

        Raises:
            ValueError, tarfile.TarError, zipfile.BadZipFile, pyarrow.ArrowException: a damaged file.
        """

    @abstractmethod
    def blocks(self, entry: Entry) -> Iterator[bytes]:
        """Yield the content of a recording.

        Raises:
            ValueError, zipfile.BadZipFile, zlib.error, pyarrow.ArrowException: a damaged file.
        """

    def entries(self, not_sound: dict[str, int]) -> Iterator[Entry]:
        """Yield the recordings, count the others, and yield what is damaged as left out, with the reason."""
        try:
            for member in self.members():
                if isinstance(member, Entry):
                    yield member
                else:
                    not_sound[member] = not_sound.get(member, 0) + 1
        except StoreError:
            raise
        except Exception as error:  # the libraries raise nearly anything at a damaged file
            reason = f"not a {self.kind} file that can be read to its end ({first_line(error)})"
            yield Entry(self.name, skip=reason)

    @property
    def kind(self) -> str:
        """Return the name of the format."""
        return PurePosixPath(self.name).suffix.lower()[1:]

    def _entry(self, member: str, size_bytes: int, at: int, skip: str = "") -> Entry:
        return Entry(f"{self.name}/{member}", size_bytes, self.stamp, skip, self.name, at)


class _Tar(Corpus):
    def members(self) -> Iterator[Entry | str]:
        self.file.seek(0)  # a file without its end mark is told as damaged: it may be cut short
        with tarfile.open(fileobj=self.file, mode="r:", tarinfo=StrictTarHeader) as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # which it would keep
                name = info.name.rpartition("/")[2]
                if info.isdir():
                    continue
                if not named_as_sound(name):
                    yield kind_of(name)
                elif info.isreg() and not info.issparse():
                    yield self._entry(info.name, info.size, info.offset_data)
                else:
                    yield self._entry(info.name, -1, 0, "a link or a device inside a tar file, and no content")

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        end = entry.at + entry.size_bytes
        for begin in range(entry.at, end, _READ_BYTES):
            wanted = min(_READ_BYTES, end - begin)
            with self._lock:
                self.file.seek(begin)
                block = self.file.read(wanted)
            if len(block) != wanted:
                raise ValueError("cut short")
            yield block


class _Zip(Corpus):
    def __init__(self, file: BinaryIO, name: str, stamp: str) -> None:
        super().__init__(file, name, stamp)
        self._archive: zipfile.ZipFile | None = None

    def _opened(self) -> zipfile.ZipFile:
        with self._lock:
            if self._archive is None:
                self._archive = zipfile.ZipFile(self.file)
                if (count := len(self._archive.infolist())) > MOST_ZIP_ENTRIES:
                    raise ValueError(f"{count} members, more than {MOST_ZIP_ENTRIES}")
            return self._archive

    def members(self) -> Iterator[Entry | str]:
        for at, info in enumerate(self._opened().infolist()):
            name = info.filename.rpartition("/")[2]
            if info.is_dir():
                continue
            if not named_as_sound(name):
                yield kind_of(name)
            else:
                yield self._entry(info.filename, info.file_size, at, "encrypted" if info.flag_bits & 1 else "")

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        archive = self._opened()
        with archive.open(archive.infolist()[entry.at]) as member:  # compares the content with its checksum
            while block := member.read(_READ_BYTES):
                yield block


class _Parquet(Corpus):
    """A table with a column of audio: bytes, or a struct of ``bytes`` and ``path`` as the Hub's data sets have it."""

    def __init__(self, file: BinaryIO, name: str, stamp: str) -> None:
        super().__init__(file, name, stamp)
        self._table: Any = None
        self._group: tuple[int, Any] | None = None  # the row group that was read last

    def _opened(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._lock:
            if self._table is None:
                size = self.file.seek(0, 2)
                self.file.seek(0)
                self._table = pq.ParquetFile(pa.PythonFile(self.file, "r"), **MOST_PARQUET)
                check_parquet(self._table.metadata, size)
                self._column, self._is_struct = _find_column(self._table.schema_arrow)
            return self._table

    def members(self) -> Iterator[Entry | str]:
        table = self._opened()
        digits = len(str(max(table.metadata.num_rows - 1, 0)))
        row = 0
        for group in range(table.num_row_groups):
            about = table.metadata.row_group(group)
            chunks = (about.column(number) for number in range(about.num_columns))
            own = sum(
                chunk.total_uncompressed_size
                for chunk in chunks
                if chunk.path_in_schema in (self._column, f"{self._column}.bytes")
            )
            mean = own // max(about.num_rows, 1)  # the size of each would have to be read
            for name in self._names(group, about.num_rows):
                yield self._entry(f"{row:0{digits}d}{name}", mean, row)
                row += 1

    def _names(self, group: int, rows: int) -> Iterator[str]:
        if not self._is_struct:
            yield from [""] * rows
            return
        batches = self._table.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[f"{self._column}.path"])
        for batch in batches:
            for value in batch.column(0).to_pylist():
                path = (value or {}).get("path")
                yield f"-{PurePosixPath(path).name}" if path else ""

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        table = self._opened()
        row = entry.at
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if row < rows:
                break
            row -= rows
        with self._lock:
            if self._group is None or self._group[0] != group:
                leaf = f"{self._column}.bytes" if self._is_struct else self._column
                self._group = (group, table.read_row_group(group, columns=[leaf]).column(0))
            value = self._group[1][row].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            raise ValueError("a row without bytes")
        yield content


def _find_column(schema: Any) -> tuple[str, bool]:
    """Find the column of audio: the first struct with bytes, or else the first column of bytes."""
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind):
            named = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
            if is_bytes(named.get("bytes")) and "path" in named:
                return field.name, True
    for field in schema:
        if is_bytes(field.type):
            return field.name, False
    raise ValueError(f"no column with the bytes of sounds among {', '.join(schema.names)[:200]}")


_KINDS: dict[str, type[Corpus]] = {".tar": _Tar, ".zip": _Zip, ".parquet": _Parquet}


def is_corpus(name: str) -> bool:
    """Tell by its name whether a file holds recordings."""
    return PurePosixPath(name).suffix.lower() in _KINDS


def make_corpus(file: BinaryIO, name: str, stamp: str) -> Corpus:
    """Make a `Corpus` of an open file."""
    return _KINDS[PurePosixPath(name).suffix.lower()](file, name, stamp)

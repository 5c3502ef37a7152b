"""Write and read shards: tar files whose records are addressed by offset, with a table of them beside each."""

from __future__ import annotations

import hashlib
import io
import logging
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.bounds import TarHeader, read_npy
from axlstm.data.records import AUDIO_SUFFIX, FACTS_SUFFIX, LOGMEL_SUFFIX
from axlstm.errors import DamageError, DataError, WriteError, first_line
from axlstm.files import Part, read_at, write_atomically, writing
from axlstm.seals import SEAL_BYTES, is_seal, seal_of

logger = logging.getLogger(__name__)

PLACES = np.dtype([("offset", "<i8"), ("size", "<i4"), ("facts_offset", "<i8"), ("facts_size", "<i4")])
"""The offsets and sizes in bytes of a record's data and facts in its shard; facts_size 0 means none."""

RECORD = np.dtype([*((name, PLACES[name]) for name in PLACES.names or ()), ("crc", "<u4"), ("facts_crc", "<u4")])
"""The places of a record, and the CRC-32 of its data and of its facts; 0 if it is not known."""

_BLOCK = 512
_MOST_RECORD_BYTES = 2**31 - 1
_KEPT = "The shards before it are complete"


class ShardWriter:
    """Writes one shard beside its final name, which exists only after `close`.

    Raises:
        WriteError: the disk is full or fails (the partial file is removed first).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path, _KEPT):
            self._part = Part(path)
            try:
                self._file = _HashedFile(self._part.path.open("wb"))
            except OSError:
                self._part.discard()
                raise
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115
        self._rows: list[tuple[int, ...]] = []

    @property
    def records(self) -> int:
        """Count the records added so far."""
        return len(self._rows)

    @property
    def size(self) -> int:
        """Count the bytes written so far."""
        return self._file.written

    def add(self, key: str, data_suffix: str, data: bytes, facts: bytes) -> None:
        """Append one record as two members, ``KEY`` + suffix each."""
        with self._discarding():
            places = (*self._member(key + data_suffix, data), *self._member(key + FACTS_SUFFIX, facts))
        self._rows.append((*places, zlib.crc32(data), zlib.crc32(facts)))

    def _member(self, name: str, content: bytes) -> tuple[int, int]:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        offset = self._file.written + _BLOCK
        self._tar.addfile(info, io.BytesIO(content))
        return offset, len(content)

    def close(self) -> str:
        """Flush to the disk and give the shard its name; returns its SHA-256."""
        with self._discarding():
            self._tar.close()
            self._file.flush()
            self._file.close()
            stream = io.BytesIO()
            np.save(stream, np.array(self._rows, dtype=RECORD), allow_pickle=False)
            stream.write(seal_of(zlib.crc32(stream.getvalue())))
            write_atomically(table_path(self.path), stream.getvalue())
            self._part.publish()
        return self._file.digest.hexdigest()

    def abandon(self) -> None:
        """Remove what has been written."""
        with suppress(OSError):  # what its buffer still holds may not fit on the disk
            self._file.close()
        self._part.discard()

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Remove what has been written if the disk fails."""
        try:
            with writing(self.path, _KEPT):
                yield
        except WriteError:
            self.abandon()
            raise


class _HashedFile:
    """A file that counts and hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.written = 0

    def write(self, content: bytes) -> int:
        self._file.write(content)
        self.digest.update(content)
        self.written += len(content)
        return len(content)

    def tell(self) -> int:
        return self.written

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def table_path(shard: Path) -> Path:
    """Return the path of the table of a shard's records."""
    return shard.with_suffix(".records.npy")


def load_table(shard: Path, sha256: str | None = None, size: int | None = None) -> NDArray[np.void]:
    """Return the records of a shard, ``(N,)`` of `RECORD`: from the table beside it, or from its tar headers.

    Records that a truncated file has lost are left out, and logged.

    Args:
        sha256: of the shard, if it is known. It stands in for the checksums of records, which a damaged table has lost.
        size: of the shard in bytes, if it is not here yet.

    Raises:
        DataError: a shard that does not exist, or a damaged one whose table is damaged too.
    """
    try:
        size = shard.stat().st_size if size is None else size
    except FileNotFoundError as error:
        raise DataError(f"{shard}: this shard is missing; restore it, or prepare the data again") from error
    try:
        table = read_table(table_path(shard))
    except FileNotFoundError:
        table = scan_tar(shard)
    except (ValueError, OSError) as error:
        logger.warning("%s: damaged (%s); the shard itself is searched", table_path(shard), error)
        table = scan_tar(shard)
        if sha256:
            with shard.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise DamageError(
                        f"{shard}: damaged, as its SHA-256 tells, and so is its table of records; restore them, or "
                        "prepare the data again"
                    ) from error
    ends = np.maximum(table["offset"] + table["size"], table["facts_offset"] + table["facts_size"])
    lost = int((ends > size).sum())
    if lost:
        logger.warning("%s: cut short: %d of its %d records are lost and will be skipped", shard, lost, len(table))
    whole: NDArray[np.void] = table[ends <= size]
    return whole


def read_table(path: Path) -> NDArray[np.void]:
    """Read a table of records, ``(N,)`` of `RECORD`; those of earlier versions have no checksums.

    Raises:
        ValueError: another file, or a damaged one.
    """
    content = path.read_bytes()
    seal = content[-SEAL_BYTES:]
    if is_seal(seal):
        content = content[:-SEAL_BYTES]
        if seal != seal_of(zlib.crc32(content)):
            raise ValueError("its checksum is another one")
    there: NDArray[Any] = read_npy(io.BytesIO(content), len(content))
    if there.dtype not in (RECORD, PLACES) or there.ndim != 1:
        raise ValueError(f"{there.shape} of other values than records")
    if (there.dtype == RECORD) != is_seal(seal):
        raise ValueError("its checksum is missing")
    table = np.zeros(len(there), RECORD)
    for name in there.dtype.names or ():
        if (there[name] < 0).any():
            raise ValueError("a record at a negative place")
        table[name] = there[name]
    return table


def table_is_whole(shard: Path) -> bool:
    """Tell whether the table of a shard can be read, and its checksums are those of the shard's records."""
    try:
        table = read_table(table_path(shard))
    except (FileNotFoundError, ValueError):
        return False
    with shard.open("rb", buffering=0) as file:
        for row in table:
            for offset, size, crc in (("offset", "size", "crc"), ("facts_offset", "facts_size", "facts_crc")):
                if row[crc] and zlib.crc32(read_at(file, int(row[offset]), int(row[size]))) != row[crc]:
                    return False
    return True


def scan_tar(shard: Path) -> NDArray[np.void]:
    """Find the records of a tar file by its headers, without reading contents: ``(N,)`` of `RECORD`.

    Members of one record have one name up to the first dot. Records after a damaged header are lost; this is logged.
    """
    found: dict[str, list[int]] = {}
    members, problem = 0, None
    with shard.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:", tarinfo=TarHeader) as tar:
                for info in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    if info.isreg():
                        members += 1
                        _note_member(found, info)
                problem = _problem_at(file, tar.offset)
        except (tarfile.TarError, ValueError, LookupError, OverflowError, RecursionError) as error:
            problem = first_line(error)  # tarfile raises nearly anything at damaged records of names and sizes
    rows = [tuple(row) for row in found.values() if row[1]]
    if problem:
        logger.warning("%s: %s; %d records were found before", shard, problem, len(rows))
    if members and not rows:
        logger.warning(
            "%s: none of its %d members is a record; expected names that end with %s or %s",
            *(shard, members, LOGMEL_SUFFIX, AUDIO_SUFFIX),
        )
    return np.array(rows, dtype=RECORD)


def _problem_at(file: IO[bytes], offset: int) -> str | None:
    """Say what is wrong after the last member of a tar file, where a block of zeros is expected."""
    file.seek(offset)
    header = file.read(_BLOCK)
    if not header:
        return "ends without the mark of a tar file's end"
    return f"damaged at byte {offset}" if header.strip(b"\0") else None


def _note_member(found: dict[str, list[int]], info: tarfile.TarInfo) -> None:
    folder, _, base = info.name.rpartition("/")
    key, dot, suffix = base.partition(".")
    if info.size > _MOST_RECORD_BYTES:
        return
    row = found.setdefault(f"{folder}/{key}", [0, 0, 0, 0, 0, 0])
    if dot + suffix in (LOGMEL_SUFFIX, AUDIO_SUFFIX):
        row[:2] = info.offset_data, info.size
    elif dot + suffix == FACTS_SUFFIX:
        row[2:4] = info.offset_data, info.size

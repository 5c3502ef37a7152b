"""Open a folder of shards and read its records."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from axlstm.data.cache import ShardCache, find_cache
from axlstm.data.index import INDEX_NAME, read_index
from axlstm.data.journal import JOURNAL_NAME
from axlstm.data.records import AUDIO_SUFFIX, decode_facts
from axlstm.data.tar import PLACES, RECORD, load_table
from axlstm.errors import DataError
from axlstm.files import read_at
from axlstm.options import Content

logger = logging.getLogger(__name__)

_MOST_OPEN_FILES = 64
_MOST_OPEN_COPIES = 8  # of a cache, which have no room elsewhere while they are open
_MOST_TRIES = 10
_END_BYTES = 1 << 20


@dataclass(frozen=True)
class ShardSet:
    """The shards of one split, and the table of their records.

    ``table`` is ``(N,)`` of `tar.RECORD`, a row for each record. ``starts`` is ``(shards + 1,)``: the number of each
    shard's first record, and N at the end.
    """

    directory: Path
    split: str
    content: Content
    shards: tuple[Path, ...]
    table: NDArray[np.void]
    starts: NDArray[np.int64]
    index: dict[str, Any] = field(default_factory=dict)
    cache: ShardCache | None = None  # brings the shards here, if they lie in a store

    def __len__(self) -> int:
        return len(self.table)

    def shard_of(self, record: int) -> int:
        """Return the number of the shard that holds a record."""
        return int(np.searchsorted(self.starts, record, side="right")) - 1

    @property
    def fingerprint(self) -> str:
        """Hash names, records and contents with SHA-256: a run is resumed exactly only on the very same shards.

        Contents are known by their SHA-256 in the index, and without one by the size, beginning and end of each shard.
        """
        entries = self.index.get("splits", {}).get(self.split, {}).get("shards", ())
        known = {entry["name"]: entry.get("sha256") for entry in entries}
        contents = [known.get(shard.name) or _ends_digest(shard) for shard in self.shards]
        digest = hashlib.sha256(repr([path.name for path in self.shards]).encode())
        digest.update(self.table[list(PLACES.names or ())].astype(PLACES).tobytes())
        digest.update(repr(contents).encode())
        return digest.hexdigest()


def open_shards(directory: Path, split: str = "train") -> ShardSet:
    """Open ``split`` of a folder that `axlstm prepare` wrote, or all shards of a plain webdataset folder.

    Raises:
        DataError: no such folder or no shards, a preparation that did not finish, a shard that is missing (it
            is named), or a format from a newer version.
    """
    if not directory.is_dir():
        raise DataError(f"{directory}: no such folder; expected one written by axlstm prepare")
    if (directory / INDEX_NAME).is_file():
        index = read_index(directory)
        entries = index["splits"].get(split, {"shards": []})["shards"]
        known = {entry["name"]: entry.get("sha256") for entry in entries}
        content: Content = index["content"]
    elif (directory / JOURNAL_NAME).exists():
        raise DataError(f"{directory}: axlstm prepare did not finish here; run the same command again to go on")
    else:
        index = {}
        known = dict.fromkeys(_foreign_names(directory) if split == "train" else ())
        if not known and split == "train":
            raise DataError(f"{directory}: no shards (*.tar) and no {INDEX_NAME}; run axlstm prepare AUDIO {directory}")
        content = _sniff_content(directory / next(iter(known))) if known else "logmel"
    shards = tuple(directory / name for name in known)
    cache = find_cache(directory)
    sizes = [None if cache is None else cache.size(name) for name in known]
    tables = [np.zeros(0, dtype=RECORD), *map(load_table, shards, known.values(), sizes)]
    starts = np.cumsum([len(table) for table in tables], dtype=np.int64)
    return ShardSet(directory, split, content, shards, np.concatenate(tables), starts, index, cache)


def _foreign_names(directory: Path) -> list[str]:
    """List the shards of a folder without an index; a table of records whose shard is gone stands for one."""
    tables = [path.name.removesuffix(".records.npy") + ".tar" for path in directory.glob("*.records.npy")]
    return sorted({*tables, *(path.name for path in directory.glob("*.tar"))})


def _ends_digest(shard: Path) -> str:
    """Hash a file's size and no more than its first and last `_END_BYTES` with SHA-256, whatever its size."""
    with shard.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for begin in (0, max(0, size - _END_BYTES)):
            file.seek(begin)
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def _sniff_content(shard: Path) -> Content:
    """Guess the content of a foreign shard: audio if its first members are called so, log-mel otherwise."""
    with shard.open("rb") as file:
        return "audio" if AUDIO_SUFFIX.encode() in file.read(4096) else "logmel"


class RecordFiles:
    """Reads the members of records, with a bounded number of shards open at a time."""

    def __init__(self, shards: ShardSet) -> None:
        self._shards = shards
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def data(self, record: int) -> bytes:
        """Return the bytes of a record's log-mel or sound.

        Raises:
            DataError: fewer bytes than the table announces, or others than its checksum says.
            MissingShardError: the shard is gone.
        """
        row = self._shards.table[record]
        return self._read(record, int(row["offset"]), int(row["size"]), int(row["crc"]))

    def facts(self, record: int) -> dict[str, Any]:
        """Return the facts of a record; empty if its shard holds none.

        Raises:
            DataError, MissingShardError: as `data`, or facts that are not JSON.
        """
        row = self._shards.table[record]
        if not row["facts_size"]:
            return {}
        place = (int(row["facts_offset"]), int(row["facts_size"]))
        return decode_facts(self._read(record, *place, int(row["facts_crc"])))

    def _read(self, record: int, offset: int, size: int, crc: int) -> bytes:
        content = read_at(self._file(self._shards.shard_of(record)), offset, size)
        if len(content) < size:
            raise DataError(f"cut short: {len(content)} of {size} bytes")
        if crc and zlib.crc32(content) != crc:
            raise DataError("damaged: its checksum is another one")
        return content

    def _file(self, shard: int) -> BinaryIO:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        file = self._opened(self._shards.shards[shard])
        self._open[shard] = file
        if len(self._open) > (_MOST_OPEN_FILES if self._shards.cache is None else _MOST_OPEN_COPIES):
            self._open.popitem(last=False)[1].close()
        return file

    def _opened(self, path: Path) -> BinaryIO:
        cache = self._shards.cache
        for _ in range(1 if cache is None else _MOST_TRIES):
            try:
                return (path if cache is None else cache.bring(path.name)).open("rb", buffering=0)
            except FileNotFoundError as error:  # of a cache: another process needed the room
                missing = error
        raise MissingShardError(f"{path}: this shard is missing; restore it, or prepare the data again") from missing

    def close(self) -> None:
        """Close all shards."""
        while self._open:
            self._open.popitem()[1].close()

    __del__ = close


class MissingShardError(DataError):
    """A shard has been removed since its folder was opened."""

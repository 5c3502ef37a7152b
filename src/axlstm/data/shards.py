"""Open a folder of shards and read its records."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from axlstm.data.journal import JOURNAL_NAME
from axlstm.data.prepare import FORMAT_VERSION, INDEX_NAME
from axlstm.data.records import AUDIO_SUFFIX, decode_facts
from axlstm.data.tar import RECORD, load_table
from axlstm.errors import DataError
from axlstm.files import read_at
from axlstm.options import Content

logger = logging.getLogger(__name__)

_MOST_OPEN_FILES = 64
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
        digest.update(self.table.tobytes())
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
    index_path = directory / INDEX_NAME
    if index_path.is_file():
        index = _read_index(index_path)
        names = [entry["name"] for entry in index["splits"].get(split, {"shards": []})["shards"]]
        content: Content = index["content"]
    elif (directory / JOURNAL_NAME).exists():
        raise DataError(f"{directory}: axlstm prepare did not finish here; run the same command again to go on")
    else:
        index = {}
        names = sorted(path.name for path in directory.glob("*.tar")) if split == "train" else []
        if not names and split == "train":
            raise DataError(f"{directory}: no shards (*.tar) and no {INDEX_NAME}; run axlstm prepare AUDIO {directory}")
        content = _sniff_content(directory / names[0]) if names else "logmel"
    shards = tuple(directory / name for name in names)
    tables = [np.zeros(0, dtype=RECORD), *map(load_table, shards)]
    starts = np.cumsum([len(table) for table in tables], dtype=np.int64)
    return ShardSet(directory, split, content, shards, np.concatenate(tables), starts, index)


def _ends_digest(shard: Path) -> str:
    """Hash a file's size and no more than its first and last `_END_BYTES` with SHA-256, whatever its size."""
    with shard.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for begin in (0, max(0, size - _END_BYTES)):
            file.seek(begin)
            digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = index["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not an index of shards that can be read ({error!r})") from error
    if version > FORMAT_VERSION:
        raise DataError(f"{path}: format_version {version} is above {FORMAT_VERSION}; install a newer axlstm")
    return index


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
            DataError: fewer bytes than the table announces.
            MissingShardError: the shard is gone.
        """
        row = self._shards.table[record]
        return self._read(record, int(row["offset"]), int(row["size"]))

    def facts(self, record: int) -> dict[str, Any]:
        """Return the facts of a record; empty if its shard holds none.

        Raises:
            DataError, MissingShardError: as `data`, or facts that are not JSON.
        """
        row = self._shards.table[record]
        if not row["facts_size"]:
            return {}
        return decode_facts(self._read(record, int(row["facts_offset"]), int(row["facts_size"])))

    def _read(self, record: int, offset: int, size: int) -> bytes:
        content = read_at(self._file(self._shards.shard_of(record)), offset, size)
        if len(content) < size:
            raise DataError(f"cut short: {len(content)} of {size} bytes")
        return content

    def _file(self, shard: int) -> BinaryIO:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        path = self._shards.shards[shard]
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise MissingShardError(f"{path}: this shard is missing; restore it, or prepare the data again") from error
        self._open[shard] = file
        if len(self._open) > _MOST_OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file

    def close(self) -> None:
        """Close all shards."""
        while self._open:
            self._open.popitem()[1].close()

    __del__ = close


class MissingShardError(DataError):
    """A shard has been removed since its folder was opened."""

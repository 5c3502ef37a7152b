"""Read shards of an object store through files of this machine, of which there are no more than a bound allows."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.bounds import parse_object
from axlstm.data.index import INDEX_NAME, read_index
from axlstm.data.tar import table_path
from axlstm.errors import DataError, StoreError
from axlstm.files import Part, write_atomically, writing
from axlstm.remote import Store, check_url

CACHE_NAME = "cache.json"
"""The note that makes a folder a cache: where its shards come from."""

_AT_A_TIME = 8  # tables of records
_LOCK_SECONDS = 3600.0  # that a shard may take
logger = logging.getLogger(__name__)


def open_cache(url: str, most_gb: float, folder: Path | None = None, shuffled_records: int = 0) -> Path:
    """Make a folder that stands for one of shards in an object store; `axlstm.data.shards.open_shards` takes it.

    The index and the tables of records are fetched now. A shard is fetched when one of its records is read, compared
    with its SHA-256, and removed again when others need the room: those go that have not been read for longest.
    Several processes can use one folder.

    Args:
        url: a folder that `axlstm prepare` wrote, copied there.
        most_gb: room for shards; what readers hold open comes on top of it, at most eight shards each.
        folder: None takes one for this URL among the temporary files.
        shuffled_records: how many neighbours are shuffled among themselves, for a warning where the room is too small.

    Raises:
        ConfigError: a URL with credentials in it.
        DataError: no index there, or one without digests.
        StoreError: the store fails.
        WriteError: the disk is full or fails.
    """
    check_url(url)
    url = url.rstrip("/")
    if folder is None:
        name = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
        folder = Path(tempfile.gettempdir(), f"axlstm-shards-{getattr(os, 'getuid', lambda: 0)()}-{name}")
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(folder / CACHE_NAME, json.dumps({"url": url, "most_bytes": round(most_gb * 1e9)}).encode())
    store = Store(url)
    try:
        size = int(store.info(f"{url}/{INDEX_NAME}")["size"])
    except FileNotFoundError as error:
        raise DataError(f"{url}: no {INDEX_NAME} there; expected a folder that axlstm prepare finished") from error
    content = store.read(f"{url}/{INDEX_NAME}", 0, size)
    if not (folder / INDEX_NAME).exists() or (folder / INDEX_NAME).read_bytes() != content:
        for path in folder.glob("*.npy"):
            path.unlink(missing_ok=True)  # of other shards
        write_atomically(folder / INDEX_NAME, content)
    entries = [entry for split in read_index(folder)["splits"].values() for entry in split["shards"]]
    if missing := [entry["name"] for entry in entries if not (entry.get("sha256") and entry.get("bytes"))]:
        raise DataError(
            f"{url}: {missing[0]} has no digest in {INDEX_NAME}; prepare the shards anew, or copy them here"
        )
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="axlstm") as pool:
        list(pool.map(lambda entry: _fetch_table(store, url, folder, entry["name"]), entries))
    _warn_of_room(entries, most_gb, shuffled_records)
    return folder


def _fetch_table(store: Store, url: str, folder: Path, shard: str) -> None:
    path = table_path(folder / shard)
    if path.exists():
        return
    name = f"{url}/{path.name}"
    try:
        content = store.read(name, 0, int(store.info(name)["size"]))
    except FileNotFoundError as error:
        raise DataError(f"{name}: this table of records is missing; copy all of the folder of shards") from error
    write_atomically(path, content)


def _warn_of_room(entries: list[dict[str, Any]], most_gb: float, shuffled_records: int) -> None:
    records, size = (sum(entry[name] for entry in entries) for name in ("records", "bytes"))
    needed = min(size, size / max(records, 1) * shuffled_records * 2)  # of this stretch, and of the next one
    if needed > most_gb * 1e9:
        logger.warning(
            "the cache has room for %.3g GB, and the records that are shuffled together lie in %.3g GB of shards: "
            "shards will be fetched again and again. Raise --reading.cache-gb, or lower --reading.shuffle-records",
            most_gb,
            needed / 1e9,
        )


def find_cache(folder: Path) -> ShardCache | None:
    """Return the cache that a folder is; None if it is one of shards that lie there."""
    try:
        values = parse_object((folder / CACHE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    entries = {entry["name"]: entry for split in read_index(folder)["splits"].values() for entry in split["shards"]}
    return ShardCache(str(values["url"]), folder, int(values["most_bytes"]), entries)


@dataclass(frozen=True)
class ShardCache:
    """Shards of a URL in a folder of this machine. Other processes may use the folder too.

    Args:
        entries: of the shards in the index, by their names.
    """

    url: str
    folder: Path
    most_bytes: int
    entries: Mapping[str, Mapping[str, Any]]

    def size(self, name: str) -> int:
        """Return the size of a shard in bytes."""
        return int(self.entries[name]["bytes"])

    def bring(self, name: str) -> Path:
        """Return the path of a shard, after fetching it if it is not there. Another process may remove it again.

        Raises:
            DataError: the store has another shard than the index tells, or none.
            StoreError: the store fails.
            WriteError: the disk is full or fails.
        """
        path = self.folder / name
        if not path.exists():
            with self._locked(name):
                if not path.exists():
                    self._make_room(self.size(name))
                    self._fetch(name, path)
        with suppress(OSError):
            os.utime(path)  # what was read last is removed last
        return path

    def _fetch(self, name: str, path: Path) -> None:
        url, entry = f"{self.url}/{name}", self.entries[name]
        if self._copy(url, entry, path):
            return
        logger.warning("%s: damaged on its way, as its SHA-256 tells; fetched again", url)
        if not self._copy(url, entry, path):
            raise DataError(f"{url}: its SHA-256 is another one than {INDEX_NAME} tells; copy it there again")

    def _copy(self, url: str, entry: Mapping[str, Any], path: Path) -> bool:
        """Copy a shard, and tell whether it is the one that the index tells of; only then it gets its name."""
        digest, store = hashlib.sha256(), Store(url)
        with writing(path):
            part = Part(path)
            try:
                with part.path.open("wb") as file:
                    for block in store.ranges(url, int(entry["bytes"])):
                        digest.update(block)
                        file.write(block)
                is_same = digest.hexdigest() == entry["sha256"]
                if is_same:
                    part.publish()
            except FileNotFoundError as error:
                raise DataError(f"{url}: this shard is missing; copy it there again") from error
            finally:
                part.discard()
        return is_same

    def _make_room(self, needed: int) -> None:
        """Remove shards that have not been read for longest, until another one fits."""
        with self._locked("room"):
            there = []
            for name in self.entries:
                with suppress(OSError):
                    facts = (self.folder / name).stat()
                    there.append((facts.st_mtime_ns, facts.st_size, name))
            total = sum(size for _, size, _ in there)
            for _, size, name in sorted(there):
                if total + needed <= self.most_bytes:
                    break
                (self.folder / name).unlink(missing_ok=True)
                total -= size

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / f"{name}.lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            raise StoreError(f"{self.url}/{name}: another process has been fetching it for an hour; stop it") from error

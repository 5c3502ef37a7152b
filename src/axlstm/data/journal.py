"""Keep the journal of a preparation: what is finished, so that the same command can go on after an interruption."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from axlstm.bounds import MOST_LIST_BYTES, check_types, parse_object
from axlstm.data.config import PrepareConfig
from axlstm.data.segments import Skip
from axlstm.data.tar import table_is_whole
from axlstm.errors import DataError, first_line, name_differences
from axlstm.files import write_atomically, writing
from axlstm.seals import object_is_whole, seal_object

logger = logging.getLogger(__name__)

JOURNAL_NAME = "journal.jsonl"
SKIPPED_NAME = "skipped.jsonl"
_DIGEST = re.compile("[0-9a-f]{16}")
_HEADER: dict[str, type | tuple[type, ...]] = {"settings": dict, "sources": str}
_ENTRY: dict[str, type | tuple[type, ...]] = {
    "split": str,
    "shard": (dict, NoneType),
    "next": list,
    "finished": bool,
    "digests": list,
    "skipped": dict,
    "skipped_bytes": int,
}


@dataclass
class Journal:
    """Holds one line for each finished shard: its content, the next record, and the digests of its records."""

    directory: Path
    shards: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"valid": [], "train": []})
    next_record: dict[str, tuple[int, int]] = field(default_factory=lambda: {"valid": (0, 0), "train": (0, 0)})
    finished: set[str] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    skipped_bytes: int = 0
    not_sound: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def open(
        cls, directory: Path, config: PrepareConfig, sources: Mapping[str, str], not_sound: Mapping[str, int]
    ) -> Journal:
        """Open the journal of a folder, a new one if there is none.

        The entries that are not sound are counted once: later, shards may lie among them.

        Args:
            sources: digests of the names of the files (``"sources"``), and of their sizes and times (``"states"``).

        Raises:
            DataError: the folder was begun with other settings or from other files, or these have changed.
        """
        journal = cls(directory)
        path = directory / JOURNAL_NAME
        header: dict[str, Any] = {"settings": config.to_dict(), **sources, "not_sound": dict(not_sound)}
        entries = _read(path)
        if not entries:
            path.unlink(missing_ok=True)
            _append(path, seal_object(header))
        begun = entries.pop(0) if entries else header
        if different := name_differences(begun["settings"], header["settings"]):
            raise DataError(
                f"{path}: the shards were prepared with other settings ({different}). "
                "Use the same settings to go on, or another folder"
            )
        if begun["sources"] != sources["sources"]:
            raise DataError(f"{path}: begun with other audio files; give the same ones, or use another folder")
        if begun.get("states", sources["states"]) != sources["states"]:  # journals of earlier versions have none
            raise DataError(
                f"{path}: audio files have changed since it was begun (another size or time of change, or fetched "
                "since then): its shards hold the earlier sound. Prepare into another folder, or remove this one first"
            )
        journal.not_sound = begun.get("not_sound", {})  # journals of earlier versions have none
        for number, entry in enumerate(entries):
            if entry["shard"] is not None and (fault := _fault(directory, entry["shard"])):
                logger.warning(
                    "%s: %s; it is made anew, and the shards after it", directory / entry["shard"]["name"], fault
                )
                _rewrite(path, [begun, *entries[:number]])
                break
            journal._take(entry)
        with writing(directory / SKIPPED_NAME), (directory / SKIPPED_NAME).open("ab") as file:
            file.truncate(journal.skipped_bytes)
        return journal

    def _take(self, entry: dict[str, Any]) -> None:
        split = entry["split"]
        if entry["shard"] is not None:
            self.shards[split].append(entry["shard"])
        self.next_record[split] = tuple(entry["next"])
        if entry["finished"]:
            self.finished.add(split)
        self.seen.update(int(digest, 16) for digest in entry["digests"])
        self.skipped.update(entry["skipped"])
        self.skipped_bytes = entry["skipped_bytes"]

    def note(
        self,
        split: str,
        shard: dict[str, Any] | None,
        next_record: tuple[int, int],
        digests: list[int],
        skips: list[Skip],
        finished: bool,
    ) -> None:
        """Note that a shard (or a whole split) is complete, after the reasons for what was skipped."""
        skipped = self.directory / SKIPPED_NAME
        _append(skipped, *map(_skip_line, skips))
        entry = {
            "split": split,
            "shard": shard,
            "next": list(next_record),
            "finished": finished,
            "digests": [f"{digest:016x}" for digest in digests],
            "skipped": dict(Counter(skip.reason for skip in skips)),
            "skipped_bytes": skipped.stat().st_size,
        }
        _append(self.directory / JOURNAL_NAME, seal_object(entry))
        self._take({**entry, "digests": []})


def _read(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a journal up to the first that is cut short or damaged, and cut the file there."""
    content = path.read_bytes() if path.exists() else b""
    entries: list[dict[str, Any]] = []
    read = 0
    for line in content.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break  # of a process that was killed
            entry = parse_object(line, MOST_LIST_BYTES)
            if not object_is_whole(entry):
                raise ValueError("its checksum is another one")
            _check_entry(entry) if entries else check_types(entry, _HEADER)
        except (ValueError, RecursionError) as error:
            logger.warning(
                "%s: line %d is damaged (%s); it and what comes after it is made anew",
                path,
                len(entries) + 1,
                first_line(error),
            )
            break
        entries.append(entry)
        read += len(line)
    if read < len(content):
        with writing(path), path.open("rb+") as file:
            file.truncate(read)
    return entries


def _check_entry(entry: Mapping[str, Any]) -> None:
    check_types(entry, _ENTRY)
    if entry["split"] not in ("train", "valid"):
        raise ValueError("a split that there is not")
    if len(entry["next"]) != 2 or not all(type(number) is int and number >= 0 for number in entry["next"]):
        raise ValueError("next is no position")
    if not all(type(digest) is str and _DIGEST.fullmatch(digest) for digest in entry["digests"]):
        raise ValueError("digests that are none")
    if not all(type(count) is int for count in entry["skipped"].values()) or entry["skipped_bytes"] < 0:
        raise ValueError("counts that are none")
    if (shard := entry["shard"]) is not None:
        check_types(shard, {"name": str, "records": int, "seconds": float, "sha256": str, "bytes": int})
        if Path(shard["name"]).name != shard["name"] or not shard["name"].isprintable():
            raise ValueError("a shard whose name is no name of a file in the folder")


def _fault(directory: Path, shard: Mapping[str, Any]) -> str:
    """Say what is wrong with a shard that is listed as complete; nothing if it is as it was written."""
    path = directory / shard["name"]
    try:
        if path.stat().st_size != shard["bytes"]:
            return f"{path.stat().st_size} bytes, not {shard['bytes']}"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != shard["sha256"]:
                return "its SHA-256 is another one"
    except FileNotFoundError:
        return "missing"
    return "" if table_is_whole(path) else "its table of records is damaged"


def _rewrite(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())


def _append(path: Path, *entries: dict[str, Any]) -> None:
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in entries))
        file.flush()
        os.fsync(file.fileno())


def _skip_line(skip: Skip) -> dict[str, Any]:
    times = {"start_s": round(skip.start_s, 3), "seconds": round(skip.seconds, 3)}
    return {"path": skip.path, **times, "reason": skip.reason, "detail": skip.detail}

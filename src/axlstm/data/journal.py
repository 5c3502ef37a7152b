"""Keep the journal of a preparation: what is finished, so that the same command can go on after an interruption."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axlstm.data.config import PrepareConfig, differences
from axlstm.data.segments import Skip
from axlstm.errors import DataError
from axlstm.files import writing

JOURNAL_NAME = "journal.jsonl"
SKIPPED_NAME = "skipped.jsonl"


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
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        if not whole:
            path.unlink(missing_ok=True)
            _append(path, header)
        elif len(whole) < len(lines):
            with writing(path), path.open("rb+") as file:
                file.truncate(sum(map(len, whole)))
        entries = map(json.loads, whole)
        begun = next(entries, header)
        if different := differences(begun["settings"], header["settings"]):
            raise DataError(
                f"{directory}: holds shards prepared with other settings ({different}). "
                "Use the same settings to go on, or another folder"
            )
        if begun["sources"] != sources["sources"]:
            raise DataError(f"{directory}: was begun with other audio files; give the same ones, or use another folder")
        if begun.get("states", sources["states"]) != sources["states"]:  # journals of earlier versions have none
            raise DataError(
                f"{directory}: audio files have changed since it was begun (another size or time of change, or fetched "
                "since then): its shards hold the earlier sound. Prepare into another folder, or remove this one first"
            )
        journal.not_sound = begun.get("not_sound", {})  # journals of earlier versions have none
        for entry in entries:
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
        _append(self.directory / JOURNAL_NAME, entry)
        self._take({**entry, "digests": []})


def _append(path: Path, *entries: dict[str, Any]) -> None:
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in entries))
        file.flush()
        os.fsync(file.fileno())


def _skip_line(skip: Skip) -> dict[str, Any]:
    times = {"start_s": round(skip.start_s, 3), "seconds": round(skip.seconds, 3)}
    return {"path": skip.path, **times, "reason": skip.reason, "detail": skip.detail}

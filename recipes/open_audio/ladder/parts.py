"""Make the validation part of the suite: tasks to choose by, which the final table does not test on.

Every fold of a k-fold task is tested in the suite. So one fold of each is set aside for choosing, and the final table
leaves it out of the scores; it goes on training there. Of a task with a test split, its validation split is tested
here. Tasks that mix the recordings of others are left out: their validation splits hold what other tasks test on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from axlstm.errors import DataError
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.tasks.metadata import read_json, read_metadata
from axlstm.files import write_atomically

FOLDER = "validation"
SET_ASIDE = {
    "environment-v1-full": ("fold01", "fold03"),
    "keyword_phrases-v1-full": ("fold02", "fold00"),
    "keyword_words-v1-full": ("fold00", "fold01"),
    "language-v1-full": ("fold01", "fold03"),
    "percussion-v1-full": ("fold01", "fold02"),
    "tags-v1-full": ("fold03", "fold00"),
    "vocal_affect-v1-full": ("fold04", "fold01"),
}
"""The fold of a k-fold task that is tested here, and the one that settings of probes are chosen by."""

MIXTURES = ("sound_events-v1-full", "speaker_count-v1-full")

_MOST_SECONDS = {"train": 300, "valid": 100, "test": 600}  # of a task, so that a pilot is scored in minutes
_VALID_SHARE = 4  # one in so many training clips of a task without folds chooses settings
_AUDIO = "16000"  # folder of a task's clips


def make_validation(tasks: Path, out: Path, report: Callable[[str], None]) -> list[Path]:
    """Write the validation part of every task in ``tasks`` into ``out``; what is there already stays.

    Clips are links. Of each part the clips of the lowest hashes of their names are taken, up to some minutes.

    Raises:
        DataError: a k-fold task without a fold set aside, or no tasks.
    """
    found = find_parts(tasks)
    made = []
    for task in found:
        folder = out / task.name
        if not (folder / "task_metadata.json").is_file():  # written last
            _make(task, folder)
            report(f"{task.name}: validation part made")
        made.append(folder)
    return made


def find_parts(tasks: Path) -> list[Path]:
    """List the tasks that have a validation part.

    Raises:
        DataError: there are none.
    """
    found = sorted(path.parent for path in tasks.glob("*/task_metadata.json") if path.parent.name not in MIXTURES)
    if not found:
        raise DataError(f"{tasks}: no tasks; run python -m recipes.open_audio tasks first")
    return found


def parts_of(task: Path) -> dict[str, dict[str, Any]]:
    """Return the clips of a task's validation part: labels or events by ``SPLIT/FILE``, for train, valid and test."""
    metadata = read_metadata(task)
    clips = {split: read_json(task / f"{split}.json") for split in metadata.splits}
    named = {split: {f"{split}/{file}": label for file, label in found.items()} for split, found in clips.items()}
    if metadata.split_mode == "trainvaltest":
        chosen_by = {clip for clip in named["train"] if _hash(clip) % _VALID_SHARE == 0}
        train = {clip: label for clip, label in named["train"].items() if clip not in chosen_by}
        parts = {"train": train, "valid": {clip: named["train"][clip] for clip in chosen_by}, "test": named["valid"]}
    else:
        if task.name not in SET_ASIDE:
            raise DataError(f"{task}: no fold of this task is set aside for choosing; name one in ladder/parts.py")
        test, valid = SET_ASIDE[task.name]
        train = {clip: label for split in named if split not in (test, valid) for clip, label in named[split].items()}
        parts = {"train": train, "valid": named[valid], "test": named[test]}
    seconds = float(metadata.sample_duration_s or 1)
    return {part: _fewer(clips, int(_MOST_SECONDS[part] / seconds)) for part, clips in parts.items()}


def _fewer(clips: dict[str, Any], most: int) -> dict[str, Any]:
    return {clip: clips[clip] for clip in sorted(sorted(clips, key=_hash)[:most])}


def _hash(clip: str) -> int:
    return int.from_bytes(hashlib.sha256(Path(clip).name.encode()).digest()[:8], "little")


def _make(task: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, clips in parts_of(task).items():
        place = folder / _AUDIO / part
        place.mkdir(parents=True, exist_ok=True)
        labels = {clip.replace("/", "-"): label for clip, label in clips.items()}
        for clip, name in zip(clips, labels, strict=True):
            if not (place / name).exists():
                os.link(task / _AUDIO / clip, place / name)
        write_atomically(folder / f"{part}.json", json.dumps(labels, indent=1).encode())
    write_atomically(folder / "labelvocabulary.csv", (task / "labelvocabulary.csv").read_bytes())
    metadata = read_json(task / "task_metadata.json")
    metadata |= {"split_mode": "trainvaltest", "splits": ["train", "valid", "test"]}
    write_atomically(folder / "task_metadata.json", json.dumps(metadata, indent=1).encode())


def find_overlap(tasks: Path) -> dict[str, set[str]]:
    """Find recordings that the validation part tests on and the final table too, by task of the validation part.

    Reads ``about.json`` of each task, which lists the recordings of every split. Copies of a recording count as one.
    """
    chosen: dict[str, dict[int, str]] = {}
    final: set[int] = set()
    for path in sorted(tasks.glob("*/about.json")):
        name, used = path.parent.name, read_json(path)["used"]
        aside = SET_ASIDE[name][0] if name in SET_ASIDE else "valid"
        if name not in MIXTURES:
            chosen[name] = {row["cluster"]: row["path"] for row in used if row["split"] == aside}
        final |= {row["cluster"] for row in used if row["tested"] and row["split"] != aside}
    return {name: {path for cluster, path in found.items() if cluster in final} for name, found in chosen.items()}


def leave_out_set_aside(results: Sequence[Result]) -> list[Result]:
    """Return results for the final table: the score of a k-fold task is the mean of the folds not set aside."""
    return [
        _without_fold(result, SET_ASIDE[result.task][0]) if result.task in SET_ASIDE else result for result in results
    ]


def _without_fold(result: Result, aside: str) -> Result:
    folds = {name: part["test_score"] for name, part in result.content.items() if name.startswith("fold")}
    if aside not in folds:
        raise DataError(f"{result.model} on {result.task}: its result has no {aside}, which was set aside")
    return replace(result, score=fmean(score for name, score in folds.items() if name != aside))

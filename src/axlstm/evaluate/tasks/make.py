"""Make own tasks: a table of sound files and labels becomes a HEAR task directory."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from axlstm.audio.read import load_audio, stream_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.errors import AudioError, ConfigError, name_some
from axlstm.evaluate.scoring.clips import find_score
from axlstm.evaluate.tasks.clip_notes import Source, is_current, keep_current, note_clip, read_notes
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import Task, read_task, warn_of_absent_classes, write_clip
from axlstm.evaluate.tasks.table import TableClip, read_table
from axlstm.files import write_atomically
from axlstm.threads import ahead

_MOST_AHEAD = 64  # sounds that are read while earlier ones are waited for
_DEFAULT_SCORES = {
    "multiclass": ("top1_acc", "mAP"),
    "multilabel": ("mAP", "aucroc"),
    "event": ("event_onset_200ms_fms", "segment_1s_er"),
}


@dataclass(frozen=True)
class TaskRecipe:
    """The name and settings of a task that is made from a table."""

    name: str
    folds: int = 5  # for a table with groups; fewer if there are fewer groups
    duration_s: float | None = None  # clips are cut or padded to it; None keeps their lengths
    scores: tuple[str, ...] = ()  # the first one selects; usual ones by kind of task if empty

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise TaskError(f"the task name {self.name!r} may have letters, digits, and . _ - only")
        if self.folds < 3:
            raise TaskError(f"folds={self.folds}: expected at least 3, as one trains, one validates and one tests")
        if self.duration_s is not None and not 1 / SAMPLE_RATE_HZ <= self.duration_s < math.inf:
            expected = "expected seconds above 0; leave it out to keep the clips' lengths"
            raise ConfigError(f"duration_s is {self.duration_s}: {expected}")
        for score in self.scores:
            find_score(score)


def make_task(
    table: str | Path, out: str | Path, recipe: TaskRecipe, on_progress: Callable[[str, int, int], None] | None = None
) -> Task:
    """Write a task from a CSV table; returns it, read back.

    Columns: ``path`` (relative to the table); ``label``; either ``split`` (train, valid, test) or ``group`` (k-fold:
    a group stays in one fold). Several labels separated by ``;`` make the task multilabel; a row may then have none.
    Where no row has several, ``;`` alone says that a row has none. With ``start_ms`` and ``end_ms`` every row is an
    event, and a row without a label names a file without events.

    Run again, it writes the clips that are missing or whose file or duration has changed, and removes those that
    left the table. All sounds are read before anything is written: a task that lacks some clips would have other
    scores, so one sound that cannot be read stops it, where `axlstm embed` goes on.

    Args:
        on_progress: called with a stage, how many of its clips are done, and how many it has.

    Raises:
        TaskError: naming the table's line, for missing columns, files, labels or splits, sounds that cannot be read,
            or an empty label in a table whose other rows have one label each.
        DataError: a table that is no CSV text in UTF-8.
    """
    table, folder = Path(table), Path(out) / f"{recipe.name}-v1-full"
    clips, kind, column = read_table(table)
    by_group = column == "group"
    split_of = _fold_groups(table, clips, recipe.folds) if by_group else {clip.part: clip.part for clip in clips}
    if not by_group and set(split_of) != {"train", "valid", "test"}:
        raise TaskError(f"{table}: split must be train, valid or test, each at least once, not {sorted(split_of)}")
    splits: dict[str, list[TableClip]] = {split: [] for split in split_of.values()}
    for clip in clips:
        splits[split_of[clip.part]].append(clip)
    names = _unique_names(clips)
    named = {f"{split}/{names[clip.path]}": clip for split, members in splits.items() for clip in members}
    audio = folder / str(SAMPLE_RATE_HZ)
    show = on_progress or (lambda *_: None)
    sources = _check_sounds(table, named, audio, recipe.duration_s, show)
    kept = keep_current(audio, sources)  # first, so that no label ever stands beside another clip's sound
    _write_metadata(folder, clips, kind, splits, recipe)
    for split, members in splits.items():
        content = {names[clip.path]: clip.labels for clip in members}
        write_atomically(folder / f"{split}.json", json.dumps(content, indent=1).encode())
    missing = [name for name in named if name not in kept]
    for number, name in enumerate(missing, start=1):
        _write_audio(audio / name, named[name].path, recipe.duration_s)
        note_clip(audio, name, sources[name])
        show("write clips", number, len(missing))
    task = read_task(folder)
    warn_of_absent_classes(task)
    return task


def _fold_groups(table: Path, clips: list[TableClip], folds: int) -> dict[str, str]:
    """Deal groups to folds, the largest first, each to the fold with the fewest clips so far: fold by group."""
    sizes = Counter(clip.part for clip in clips)
    if len(sizes) < 3:
        raise TaskError(f"{table}: k-fold by group needs at least 3 groups, found {sorted(sizes)}")
    filled = [0] * min(folds, len(sizes))
    fold_of = {}
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold = int(np.argmin(filled))
        fold_of[group] = f"fold{fold:02d}"
        filled[fold] += size
    return fold_of


def _write_metadata(
    folder: Path, clips: list[TableClip], kind: str, splits: dict[str, list[TableClip]], recipe: TaskRecipe
) -> None:
    labels = sorted({item["label"] if kind == "event" else item for clip in clips for item in clip.labels})
    metadata = {
        "task_name": recipe.name,
        "version": "v1",
        "embedding_type": "event" if kind == "event" else "scene",
        "prediction_type": "multiclass" if kind == "multiclass" else "multilabel",
        "split_mode": "trainvaltest" if "train" in splits else "presplit_kfold",
        "sample_duration": recipe.duration_s,
        "evaluation": list(recipe.scores or _DEFAULT_SCORES[kind]),
        "default_mode": "full",
        "mode": "full",
        "splits": sorted(splits),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "task_metadata.json", json.dumps(metadata, indent=1).encode())
    vocabulary = io.StringIO()
    writer = csv.writer(vocabulary, lineterminator="\n")
    writer.writerow(["idx", "label"])
    writer.writerows(enumerate(labels))
    write_atomically(folder / "labelvocabulary.csv", vocabulary.getvalue().encode())


def _unique_names(clips: list[TableClip]) -> dict[Path, str]:
    """Name every clip's wav file: its own name for the first that has it, else the first free one with a number."""
    own = {clip.path.stem for clip in clips}  # no other clip gets such a name
    taken: set[str] = set()
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))
    names = {}
    for clip in clips:
        stem = name = clip.path.stem
        while name in taken or (name != stem and name in own):
            name = f"{stem}-{next(numbers[stem])}"
        taken.add(name)
        names[clip.path] = f"{name}.wav"
    return names


def _check_sounds(
    table: Path,
    clips: Mapping[str, TableClip],
    audio: Path,
    duration_s: float | None,
    show: Callable[[str, int, int], None],
) -> dict[str, Source]:
    """Describe the source of each clip by name, and read all of those that are to be written.

    Raises:
        TaskError: naming the lines of sounds that cannot be read.
    """
    notes = read_notes(audio)
    sources: dict[str, Source] = {}
    faults: list[str] = []

    def inspect(name: str) -> Source:
        source = _describe_source(clips[name].path, duration_s)
        if not is_current(audio, notes, name, source):
            for _ in stream_audio(clips[name].path):
                pass
        return source

    for number, (name, result) in enumerate(ahead(inspect, clips, lambda _: 1, _MOST_AHEAD), start=1):
        try:
            sources[name] = result.result()
        except (AudioError, OSError) as error:
            faults.append(f"line {clips[name].line}: {error}")
        show("check sounds", number, len(clips))
    if faults:
        raise TaskError(
            f"{table}: {len(faults)} of {len(clips)} sounds cannot become clips, and nothing is written: "
            f"{name_some(faults, '; ')}. Mend these files, or remove their rows"
        )
    return sources


def _describe_source(path: Path, duration_s: float | None) -> Source:
    """Describe the source of a clip by its content, so that a task is the same everywhere."""
    with path.open("rb") as file:
        return [hashlib.file_digest(file, "sha256").hexdigest(), duration_s]


def _write_audio(path: Path, source: Path, duration_s: float | None) -> None:
    samples = load_audio(source)  # (n,)
    length = len(samples) if duration_s is None else round(duration_s * SAMPLE_RATE_HZ)
    write_clip(path, np.pad(samples[:length], (0, max(0, length - len(samples)))))

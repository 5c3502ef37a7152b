"""Hold labelled clips, whatever they were read from, and check that they can be learned from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import DataError, name_some
from axlstm.options import TaskKind

VALUE = "value"
"""The label of what a regression predicts."""


@dataclass(frozen=True)
class ClipEvent:
    """One stretch of a clip in which the label of a number is heard, in milliseconds from the clip's beginning."""

    label: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True)
class Clip:
    """A sound file, or a stretch of one, and what is known of it.

    Args:
        path: of the file.
        begin_s, end_s: the stretch; None is all of the file.
        labels: numbers of those that it has.
        unknown: numbers of those that nothing is known of; the loss leaves them out.
        events: with their times, where these are learned.
        value: the number that a regression learns.
        group: what it belongs to: clips of one group are never on both sides of a split.
    """

    path: Path
    begin_s: float | None = None
    end_s: float | None = None
    labels: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    events: tuple[ClipEvent, ...] = ()
    value: float = 0.0
    group: str = ""

    @property
    def name(self) -> str:
        """Return its file, with the stretch behind it if it is a part."""
        return str(self.path) if self.begin_s is None else f"{self.path}@{self.begin_s:g}-{self.end_s:g}"


@dataclass(frozen=True, eq=False)
class ClipSet:
    """The clips that a model is trained, chosen and tested on.

    Args:
        source: what they were read from, for messages.
        kind: what is learned.
        labels: by number.
        splits: clips by the name of their split or fold; one split ``""`` where nothing says how they are split.
        score: that chooses; empty for the usual one.
        folds: training, validation and test splits of each fold, where the source says them.
        sparse: whether a label without a clip to learn from is the source's own business, as in a published task.
    """

    source: str
    kind: TaskKind
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Clip, ...]]
    score: str = ""
    folds: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = ()
    sparse: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def clips(self) -> list[Clip]:
        """List all clips."""
        return [clip for clips in self.splits.values() for clip in clips]


@dataclass(frozen=True, eq=False)
class Parts:
    """Clips to train on, to choose by and to test with; those to test with may be none."""

    source: str
    kind: TaskKind
    labels: tuple[str, ...]
    train: tuple[Clip, ...]
    valid: tuple[Clip, ...]
    test: tuple[Clip, ...] = ()
    score: str = ""

    @property
    def value_scale(self) -> tuple[float, float]:
        """Return mean and deviation of the training clips' numbers, by which a regression scales its targets."""
        values = np.array([clip.value for clip in self.train])
        return float(values.mean()), float(values.std()) or 1.0

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of names, sizes and labels of all clips. Where they lie is not among it."""
        digest = hashlib.sha256(json.dumps([self.kind, self.labels]).encode())
        groups: dict[str, int] = {}  # by number: some are named by the paths of their files
        for part in (self.train, self.valid, self.test):
            for clip in part:
                told = [clip.path.name, clip.path.stat().st_size, clip.begin_s, clip.end_s, clip.labels, clip.unknown]
                events = [[event.label, event.start_ms, event.end_ms] for event in clip.events]
                group = groups.setdefault(clip.group, len(groups))
                digest.update(json.dumps([*told, events, clip.value, group]).encode())
            digest.update(b"/")
        return digest.hexdigest()


def targets_of(
    clips: Sequence[Clip], kind: TaskKind, count: int, scale: tuple[float, float] = (0.0, 1.0)
) -> NDArray[np.float32]:
    """Return the targets of clips ``(n, K)``: 1, 0, or NaN where nothing is known; of a regression, scaled values.

    A label of events has 1 where the clip has one at any time.
    """
    out = np.zeros((len(clips), count), np.float32)
    for row, clip in enumerate(clips):
        if kind == "regression":
            out[row] = (clip.value - scale[0]) / scale[1]
            continue
        out[row, list(clip.labels)] = 1
        out[row, list(clip.unknown)] = np.nan
    return out


def frame_targets(clip: Clip, times_ms: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return whether each label is heard at each frame ``(T, K)``: from the start of an event to its end."""
    out = np.zeros((len(times_ms), count), np.float32)
    for event in clip.events:
        out[(times_ms >= event.start_ms) & (times_ms <= event.end_ms), event.label] = 1
    return out


def check_parts(parts: Parts, *, sparse: bool = False) -> Parts:
    """Refuse clips that no model can be trained on or judged by.

    Raises:
        DataError: a part without clips, or a label that no training clip has.
    """
    for name in ("train", "valid"):
        if not getattr(parts, name):
            raise DataError(
                f"{parts.source}: no clip to {'train on' if name == 'train' else 'validate with'}; expected some of "
                "the split train and some of valid, or groups that can be split"
            )
    if parts.kind == "regression":
        return parts
    there = {number for clip in parts.train for number in clip.labels}
    absent = [number for number in range(len(parts.labels)) if number not in there]
    elsewhere = {
        name: {number for clip in getattr(parts, name) for number in clip.labels} for name in ("valid", "test")
    }
    if absent and not sparse:
        only_test = [n for n in absent if n in elsewhere["test"] and n not in elsewhere["valid"]]
        where = "the split test alone" if only_test == absent else "no training clip"
        names = name_some(parts.labels[number] for number in absent)
        raise DataError(
            f"{parts.source}: {where} has the label {names}, which cannot be learned so: give it training clips of "
            "another group, or leave it out"
        )
    if len(parts.labels) < 2 and parts.kind == "multiclass":
        raise DataError(
            f"{parts.source}: all clips have the label {parts.labels[0]}; expected two labels or more to tell apart"
        )
    return parts


def as_kind(clips: ClipSet, kind: TaskKind | None) -> ClipSet:
    """Return clips as those of another kind, where one was asked for.

    Raises:
        DataError: they cannot be taken as such; the first clip that does not fit is named.
    """
    if kind is None or kind == clips.kind:
        return clips
    if kind == "multiclass" and clips.kind == "multilabel":
        bad = next((clip for clip in clips.clips if len(clip.labels) != 1), None)
        if bad is None:
            return replace(clips, kind=kind)
        names = ", ".join(clips.labels[number] for number in bad.labels) or "none"
        raise DataError(
            f"{clips.source}: kind=multiclass, but {bad.name} has {len(bad.labels)} labels ({names}), and each clip "
            "needs one; train it as multilabel, or correct the clip"
        )
    if kind == "multilabel" and clips.kind in ("multiclass", "events"):
        return replace(clips, kind=kind)
    raise DataError(f"{clips.source}: kind={kind}, but it holds what a {clips.kind} learns; leave the kind out")

"""Describe the plan of a task: clips, and the recordings that they are made of. No sample is computed yet."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from axlstm.evaluate.scoring.events import Event
from axlstm.evaluate.tasks.metadata import TaskError
from recipes.open_audio.manifest import Row
from recipes.open_audio.reserved import is_reserved
from recipes.open_audio.tasks.recordings import MissingError

TRAIN, VALID, TEST = SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Piece:
    """A recording, or a part of it in seconds."""

    path: str  # below the folder of the recipe's work
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Note:
    """A note that a SoundFont plays: MIDI numbers of program, key and velocity, and how long the key is held."""

    path: str  # of the SoundFont, below the folder of the recipe's work
    program: int
    key: int
    velocity: int
    held_s: float


Source: TypeAlias = Piece | Note


@dataclass(frozen=True)
class Track:
    """Sources one after another, placed in a clip."""

    sources: tuple[Source, ...]
    at_s: float = 0.0
    length_s: float | None = None  # cut to it
    loops: bool = False  # repeated until the clip, or `length_s`, is full
    level_db: float | None = None  # RMS of where it sounds, under full scale; None leaves it as recorded


@dataclass(frozen=True)
class Clip:
    """One clip of a task."""

    name: str
    split: str  # train, valid, test, or foldNN
    groups: tuple[str, ...]  # voices, kits, packages: none of them may be in another split too
    tracks: tuple[Track, ...]
    labels: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    noise_db: float | None = None  # white noise under all of it: RMS under full scale

    def sources(self) -> Iterator[Source]:
        """List all sources of its tracks."""
        for track in self.tracks:
            yield from track.sources


@dataclass(frozen=True)
class TaskPlan:
    """A task: `split_by` and `about` are for its readers."""

    name: str
    about: str
    split_by: str
    duration_s: float
    scores: tuple[str, ...]  # the first one selects
    clips: tuple[Clip, ...]

    @property
    def is_event(self) -> bool:
        """Return whether the clips have events instead of labels."""
        return any(clip.events for clip in self.clips)

    @property
    def tested(self) -> tuple[str, ...]:
        """List the splits that a probe is tested on: all of a k-fold task."""
        return (TEST,) if self.splits == SPLITS else self.splits

    @property
    def splits(self) -> tuple[str, ...]:
        """List the names of its splits."""
        found = {clip.split for clip in self.clips}
        return SPLITS if found == set(SPLITS) else tuple(sorted(found))

    def digest(self, rows: Mapping[str, Row], version: int) -> str:
        """Digest the plan: equal for the same clips from the same recordings, rendered in the same way."""
        used = sorted({source.path for clip in self.clips for source in clip.sources()})
        said = json.dumps([version, asdict(self), [(path, rows[path].digest) for path in used if path in rows]])
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def check_splits(plan: TaskPlan, rows: Mapping[str, Row]) -> None:
    """Check that splits share no group and no recording, and that tests take nothing that pretraining may hear.

    Raises:
        TaskError: something is in two splits, or is tested on and not reserved; the first one is named.
    """
    seen: dict[str, str] = {}
    for clip in plan.clips:
        used = [rows[source.path] for source in clip.sources() if source.path in rows]
        things = {group: group for group in clip.groups}
        things |= {f"cluster {row.cluster}": f"{row.path}, or a copy of it," for row in used}
        for key, thing in things.items():
            other = seen.setdefault(key, clip.split)
            if other != clip.split:
                raise TaskError(f"{plan.name}: {thing} is in {clip.split} and in {other}: groups stay on one side")
        if clip.split in plan.tested:
            heard = [row.path for row in used if not is_reserved(vars(row))]
            heard += [source.path for source in clip.sources() if source.path not in rows]
            if heard:
                raise TaskError(
                    f"{plan.name}: {clip.name} tests on {heard[0]}, which is not reserved: pretraining hears it; "
                    "reserve it in packages.csv or rules.toml, or keep it to the training split"
                )


def fold_groups(sizes: Mapping[str, int], folds: int) -> dict[str, str]:
    """Assign groups to folds, the largest first, each to the fold with the fewest clips so far.

    Raises:
        MissingError: fewer than three groups.
    """
    if len(sizes) < 3:
        raise MissingError(f"needs 3 groups for folds, found {', '.join(sorted(sizes)) or 'none'}")
    filled = [0] * min(folds, len(sizes))
    out = {}
    for group, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold = filled.index(min(filled))
        out[group] = f"fold{fold:02d}"
        filled[fold] += size
    return out


def balanced_groups(counts: Mapping[str, Counter[str]], shares: Mapping[str, float]) -> dict[str, str]:
    """Assign groups to splits so that each split gets its share of every class, as far as whole groups allow.

    Args:
        counts: clips of each class, by group.
        shares: of the splits; they sum to 1.
    """
    totals = sum(counts.values(), Counter())
    filled: dict[str, Counter[str]] = {split: Counter() for split in shares}
    out = {}

    def gain(split: str, group: str) -> float:
        """Measure how much of a split's lack, relative to its share, the group would fill."""
        share = shares[split]
        return sum(
            (min(count, max(0.0, share * totals[label] - filled[split][label])) - 0.5 * _excess(split, label, count))
            / (share * totals[label])
            for label, count in counts[group].items()
        )

    def _excess(split: str, label: str, count: int) -> float:
        wanted = shares[split] * totals[label]
        return max(0.0, filled[split][label] + count - wanted) - max(0.0, filled[split][label] - wanted)

    for group in sorted(counts, key=lambda group: (-counts[group].total(), group)):
        split = max(shares, key=lambda split: (gain(split, group), -filled[split].total() / shares[split]))
        out[group] = split
        filled[split] += counts[group]
    return out


def without_copies(rows: Iterable[Row], labels: Mapping[str, str], groups: Mapping[str, str]) -> list[Row]:
    """Keep one recording of several with equal samples, none if their labels differ, and one group of a cluster.

    Args:
        labels: by path.
        groups: by path. Takes of one instrument may look like copies of each other: in one group they stay.
    """
    equal: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.path):
        equal.setdefault(row.digest, []).append(row)
    alike = [members[0] for members in equal.values() if len({labels[member.path] for member in members}) == 1]
    return of_one_group(alike, groups)


def of_one_group(rows: Iterable[Row], groups: Mapping[str, str]) -> list[Row]:
    """Keep one group's recordings of each cluster: the group of the first, by path."""
    group_of: dict[int, str] = {}
    return [
        row
        for row in sorted(rows, key=lambda row: row.path)
        if group_of.setdefault(row.cluster, groups[row.path]) == groups[row.path]
    ]


def as_table(plan: TaskPlan, paths: Sequence[str]) -> list[dict[str, Any]]:
    """Return the plan as rows for `axlstm.evaluate.tasks.make`: one a clip, or one an event.

    Args:
        paths: of the clips' files, in their order.
    """
    column = "split" if plan.splits == SPLITS else "group"
    rows: list[dict[str, Any]] = []
    for clip, path in zip(plan.clips, paths, strict=True):
        start = {"path": path, column: clip.split}
        if not plan.is_event:
            rows.append({**start, "label": ";".join(clip.labels)})
            continue
        rows += [{**start, "label": one.label, "start_ms": one.start_ms, "end_ms": one.end_ms} for one in clip.events]
        if not clip.events:
            rows.append({**start, "label": "", "start_ms": "", "end_ms": ""})
    return rows

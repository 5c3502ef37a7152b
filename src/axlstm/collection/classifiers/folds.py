"""Divide examples into folds by group, so that what a classifier is judged on comes from nowhere it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.examples import NO, YES, Judged
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.search.filters import clock_time
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, name_some
from axlstm.options import GroupName, check_choice

MOST_FOLDS = 5
_LEAST_SITES = 3
_MANY = 3000
"""Examples from which on three folds are enough: each of them is large, and so is the time that they take."""

_FEWER_FOLDS = 3
_MISSING = {"site": "axlstm index --metadata gives sites", "day": "axlstm index --metadata gives recorded_at"}


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each recording.

    Args:
        kind: what a group is.
        names: of the groups with labels.
        by_recording: the index of its group, by the recording's number; -1 for groups without labels.
        why: why this kind was chosen.
    """

    kind: GroupName
    names: tuple[str, ...]
    by_recording: dict[int, int]
    why: str

    def of(self, table: WindowTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the group of each row ``(n,)``, as an index of names."""
        recordings = table.recordings[table.span_of(rows)]
        return np.array([self.by_recording[number] for number in recordings.tolist()], np.int64)


def find_groups(
    collection: CollectionFolder, table: WindowTable, judged: Judged, asked: GroupName | None = None
) -> Groups:
    """Group the recordings that labels say something about.

    Args:
        asked: None takes sites, if every such recording has one and each label has a yes and a no in at least three of
            them; else recordings.

    Raises:
        ConfigError: recordings without a site or a time, if sites or days are asked for.
    """
    if asked is not None:
        check_choice("group", asked, GroupName)
    names = _names(collection, asked or "site")
    numbers = sorted(set(table.recordings[table.span_of(judged.rows)].tolist()))
    without = [number for number in numbers if names[number] is None]
    if asked is None:
        sites = None if without else _grouped("site", names, numbers, "the metadata have one for every recording")
        if sites is not None and _is_enough(sites.of(table, judged.rows), judged):
            return sites
        reason = "a recording with labels has no site" if without else f"labels at fewer than {_LEAST_SITES} sites"
        return _grouped("recording", _names(collection, "recording"), numbers, reason)
    if without:
        paths = _names(collection, "recording")
        raise ConfigError(
            f"{collection.folder}: {len(without)} recordings with labels have no {asked} "
            f"({name_some(str(paths[number]) for number in without)}); {_MISSING[asked]}, or group by recording"
        )
    return _grouped(asked, names, numbers, "as asked")


def _grouped(kind: GroupName, names: Mapping[int, str | None], numbers: Sequence[int], why: str) -> Groups:
    found = sorted({str(names[number]) for number in numbers})
    index: dict[str | None, int] = {name: place for place, name in enumerate(found)}
    return Groups(kind, tuple(found), {number: index.get(name, -1) for number, name in names.items()}, why)


def _names(collection: CollectionFolder, kind: GroupName) -> dict[int, str | None]:
    """Return the name of the group of each recording that is present; None where it is not known."""
    rows = collection.tables.execute(
        "SELECT id, path, digest, recorded_at, metadata FROM recordings WHERE removed_at IS NULL ORDER BY path"
    )
    first: dict[str, str] = {}  # paths, by content: a copy is no other recording
    assert kind in get_args(GroupName)
    found: dict[int, str | None] = {}
    for row in rows:
        if kind == "recording":
            found[row["id"]] = first.setdefault(row["digest"], row["path"])
        elif kind == "site":
            site = collection.metadata_of(row["metadata"]).get("site")
            found[row["id"]] = None if site in (None, "") else str(site)
        else:
            begin = clock_time(row["recorded_at"])
            found[row["id"]] = None if begin is None else begin.date().isoformat()
    return found


def _is_enough(groups: NDArray[np.int64], judged: Judged) -> bool:
    """Tell whether each label has a yes, and a no if it has any, in enough groups."""
    for column in judged.said.T:
        for verdict in (YES, NO):
            own = groups[column == verdict]
            if len(own) and len(np.unique(own)) < _LEAST_SITES:
                return False
    return True


def count_groups(classes: NDArray[np.int64], groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Count the groups that hold each class: ``(count,)``.

    Args:
        classes, groups: of each example ``(n,)``.
    """
    return np.array([len(np.unique(groups[classes == one])) for one in range(count)], np.int64)


def make_folds(classes: NDArray[np.int64], groups: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Assign each example to a fold ``(n,)``, all of a group to the same one; all to 0 if there can be no second.

    Groups are taken in the order of their largest share of a class. Each goes to the fold that has least of its
    classes, so that folds are alike. There are five folds, or as many as the class in fewest groups has groups, but
    for classes that are in one group only: whatever they are in, nothing can be said about them.
    """
    there = count_groups(classes, groups, count)
    several = there[there > 1]
    if len(several) < 2:
        return np.zeros(len(classes), np.int64)
    folds = min(_FEWER_FOLDS if len(classes) > _MANY else MOST_FOLDS, int(several.min()))
    present, own = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(present), count))
    np.add.at(counts, (own, classes), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)  # (G, C) of each class
    order = np.random.default_rng(seed).permutation(len(present))
    order = order[np.argsort(-shares[order].max(axis=1), kind="stable")]
    held = np.zeros((folds, count))
    of_group = np.zeros(len(present), np.int64)
    for group in order:
        cost = held @ shares[group]
        fold = int(np.lexsort((np.arange(folds), held.sum(axis=1), cost.round(12)))[0])
        of_group[group] = fold
        held[fold] += shares[group]
    return of_group[own]

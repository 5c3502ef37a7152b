"""Split clips by group: those of one recording, kit or site are never on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.folds import make_folds
from axlstm.errors import DataError
from axlstm.finetuning.clips import Clip, ClipSet, Parts, check_parts
from axlstm.options import TaskKind

_BINS = 4  # of a number that is predicted, so that folds are alike
_HELD_OUT = 0.2  # of the training clips, where a table has no split valid


def split_clips(clips: ClipSet, seed: int, fold: int | None = None) -> Parts:
    """Say which clips a model is trained, chosen and tested on.

    Clips with splits keep them; where there is none to choose by, a fifth of the training groups is taken. Others are
    put into five folds by group: three to train on, one to choose by, one to test with. With two groups of a label
    there is nothing to test with.

    Args:
        fold: that is tested with; None is the first. Where the source says its folds, they are those.

    Raises:
        DataError: clips that cannot be split, a part without clips, or a label that no training clip has.
    """
    if clips.folds:
        names = clips.folds[fold or 0]
        train, valid, test = (tuple(clip for name in own for clip in clips.splits[name]) for own in names)
        return check_parts(_parts(clips, train, valid, test), sparse=clips.sparse)
    if set(clips.splits) != {""}:
        train, valid = clips.splits.get("train", ()), clips.splits.get("valid", ())
        if train and not valid:
            train, valid = _hold_out(clips, train, seed)
        return check_parts(_parts(clips, train, valid, clips.splits.get("test", ())), sparse=clips.sparse)
    own = clips.splits[""]
    folds = fold_clips(own, clips.kind, len(clips.labels), seed, clips.source)
    count, test_fold = int(folds.max()) + 1, fold or 0
    if count == 2:
        parts = _parts(clips, _of(own, folds == 0), _of(own, folds == 1), ())
    else:
        valid_fold = (test_fold + 1) % count
        is_train = (folds != test_fold) & (folds != valid_fold)
        parts = _parts(clips, _of(own, is_train), _of(own, folds == valid_fold), _of(own, folds == test_fold))
    return check_parts(parts, sparse=clips.sparse)


def fewer_clips(parts: Parts, share: float, seed: int) -> Parts:
    """Return parts with a share of the training clips, drawn so that each label keeps one at least.

    A smaller share of the same seed is a part of a larger one.
    """
    if share == 1:
        return parts
    order = np.random.default_rng([seed, len(parts.train)]).permutation(len(parts.train)).tolist()
    first: dict[int, None] = {}  # in order: the first clip of each label, then all others
    seen: set[int] = set()
    for index in order:
        if new := set(parts.train[index].labels) - seen:
            seen |= new
            first[index] = None
    kept = [*first, *(index for index in order if index not in first)]
    count = max(len(first), round(share * len(order)))
    return replace(parts, train=tuple(parts.train[index] for index in sorted(kept[:count])))


def count_folds(clips: ClipSet, seed: int) -> int:
    """Count the folds that `split_clips` can test with; one where the source says its splits."""
    if clips.folds:
        return len(clips.folds)
    if set(clips.splits) != {""}:
        return 1
    folds = fold_clips(clips.splits[""], clips.kind, len(clips.labels), seed, clips.source)
    return int(folds.max()) + 1


def fold_clips(clips: Sequence[Clip], kind: TaskKind, count: int, seed: int, source: str) -> NDArray[np.int64]:
    """Put clips into folds ``(n,)`` by group, so that the folds have like shares of each label.

    Raises:
        DataError: all clips, or all of every label but one, are of one group.
    """
    _, groups = np.unique([clip.group for clip in clips], return_inverse=True)
    if groups.max(initial=0) == 0:
        raise DataError(
            f"{source}: all {len(clips)} clips are of one group ({clips[0].group[:80]}), so that nothing can be held "
            "out; expected three groups or more, such as recordings, sites or kits"
        )
    classes = _classes(clips, kind, count)
    folds = make_folds(classes, groups.astype(np.int64), int(classes.max()) + 1, seed)
    if folds.max() == 0:
        raise DataError(
            f"{source}: each label is in one group only, so that what is learned cannot be tried on another one; "
            "expected clips of each label in three groups or more"
        )
    return folds


def _classes(clips: Sequence[Clip], kind: TaskKind, count: int) -> NDArray[np.int64]:
    """Give each clip one class to balance folds by ``(n,)``: of several labels the rarest, for none the last class."""
    if kind == "regression":
        values = np.array([clip.value for clip in clips])
        edges = np.quantile(values, np.arange(1, _BINS) / _BINS)
        return np.searchsorted(edges, values)
    often = np.bincount([number for clip in clips for number in clip.labels], minlength=count)
    return np.array([min(clip.labels, key=lambda n: (often[n], n), default=count) for clip in clips], np.int64)


def _hold_out(clips: ClipSet, train: tuple[Clip, ...], seed: int) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    folds = fold_clips(train, clips.kind, len(clips.labels), seed, clips.source)
    return _of(train, folds != 1), _of(train, folds == 1)


def _of(clips: Sequence[Clip], chosen: NDArray[np.bool_]) -> tuple[Clip, ...]:
    return tuple(clip for clip, is_chosen in zip(clips, chosen, strict=True) if is_chosen)


def _parts(clips: ClipSet, train: tuple[Clip, ...], valid: tuple[Clip, ...], test: tuple[Clip, ...]) -> Parts:
    return Parts(clips.source, clips.kind, clips.labels, train, valid, test, clips.score)

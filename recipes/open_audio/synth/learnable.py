"""Check that targets can be learnt, before anything is trained: ridge regression from the log-mel around a frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.data.records import decode_logmel
from axlstm.data.shards import RecordFiles, ShardSet, open_shards
from axlstm.data.teachers import Teacher
from axlstm.model.config import ModelConfig

_PENALTIES = (1e1, 1e2, 1e3, 1e4)
_REACH = 2  # frames of 40 ms on either side that a target is predicted from


@dataclass(frozen=True)
class Learnt:
    """Losses of standardised targets on held-out records: of ridge regression, of the mean of the training records,
    and of ridge regression on targets of other records, which nothing can be learnt of."""

    regression: float
    mean: float
    shuffled: float
    frames: int


def check_learnable(shards: Path, taught: Path, model: ModelConfig) -> Learnt:
    """Regress a teacher's targets from the log-mel up to `_REACH` frames away; the penalty is the best on a part of
    the training records."""
    parts = {}
    for split in ("train", "valid"):
        opened = open_shards(shards, split)
        teacher = Teacher(taught, opened)
        with closing(teacher):
            parts[split] = list(_records(opened, teacher, model))
    train = parts["train"]
    kept = len(train) * 4 // 5
    features, targets = _stacked(train[:kept])
    penalty = min(_PENALTIES, key=lambda one: _loss(*_stacked(train[kept:]), *_ridge(features, targets, one)))
    features, targets = _stacked(train)
    asked, wanted = _stacked(parts["valid"])
    others = np.roll(targets, len(targets) // 2, axis=0)
    return Learnt(
        regression=_loss(asked, wanted, *_ridge(features, targets, penalty)),
        mean=float(np.square(wanted - targets.mean(axis=0)).mean()),
        shuffled=_loss(asked, wanted, *_ridge(features, others, penalty)),
        frames=len(asked),
    )


def _records(
    shards: ShardSet, teacher: Teacher, model: ModelConfig
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Give features ``(T, F)`` and targets ``(T, D)`` of the first window of every record that has targets."""
    with closing(RecordFiles(shards)) as files:
        for record in range(len(shards)):
            frames = np.asarray(decode_logmel(files.data(record), model.mel_bands), dtype=np.float32)
            window = frames[: model.window_frames]
            crop = teacher.crop(record, 0, len(window), model)
            if not crop.present:
                continue
            count = len(window) // model.patch_frames
            normal = (window - frames.mean()) / (frames.std() + 1e-8)
            shape = (count, model.patch_frames, model.mel_bands)
            pooled = normal[: count * model.patch_frames].reshape(shape).mean(axis=1)  # (T, bands)
            padded = np.pad(pooled, ((_REACH, _REACH), (0, 0)))
            around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1, axis=0)  # (T, bands, reach)
            yield around.reshape(count, -1), crop.frames[:count]


def _stacked(
    parts: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    features, targets = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(targets)


def _ridge(
    features: NDArray[np.float32], targets: NDArray[np.float32], penalty: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit targets ``(N, D)``; returns weights ``(F, D)`` and offsets ``(D,)``."""
    middle, mean = features.mean(axis=0), targets.mean(axis=0)
    centred = features - middle
    matrix = centred.T @ centred + penalty * np.eye(features.shape[1], dtype=np.float32)
    weights = np.linalg.solve(matrix, centred.T @ (targets - mean))
    return weights, mean - middle @ weights


def _loss(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> float:
    return float(np.square(features @ weights + offsets - targets).mean())

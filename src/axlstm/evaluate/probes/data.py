"""Hold the data that one probe is trained, selected and tested on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import axlstm.vector_math
from axlstm.evaluate.embedding.packed import EmbeddedTask, Rows
from axlstm.evaluate.tasks.metadata import DataSplit

_ROWS_PER_PASS = 8192
_SMALL_OFFSET = 0.5  # of the deviation: below it, rounding noise grows by an eighth at most


@dataclass(frozen=True)
class Scaler:
    """Shifts and scales embeddings to mean 0 and deviation 1 of the rows it was measured on."""

    mean: NDArray[np.float32]  # (D,)
    deviation: NDArray[np.float32]  # (D,), 1 where the values are constant

    @classmethod
    def measure(cls, rows: Rows) -> Scaler:
        """Measure in two float64 passes over memory-mapped rows, so that a large common offset costs no digits."""
        mean = sum(part.sum(axis=0) for part in _float64_parts(rows)) / len(rows)  # (D,)
        square = sum(((part - mean) ** 2).sum(axis=0) for part in _float64_parts(rows))  # (D,)
        deviation = np.sqrt(square / len(rows))  # (D,)
        deviation[deviation <= 1e-7 * np.abs(mean)] = 1.0  # 0 among them
        return cls(mean.astype(np.float32), deviation.astype(np.float32))


@dataclass(frozen=True)
class Part:
    """Rows of a task as tensors, standardised if the protocol asks for it."""

    rows: Rows
    scaler: Scaler | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def embeddings(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Read float32 ``(stop - start, D)``."""
        values = self.rows.embeddings(start, stop)
        if self.scaler is not None:
            values = (values - self.scaler.mean) / self.scaler.deviation
        return torch.from_numpy(values)

    def target(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Read float32 ``(stop - start, K)``, 0 or 1."""
        return torch.from_numpy(self.rows.target[start:stop].astype(np.float32))

    def batches(self, size: int) -> Iterator[tuple[int, int]]:
        """Yield the first row of every batch and the row behind its last, in the packed order."""
        for start in range(0, len(self), size):
            yield start, min(start + size, len(self))


@dataclass(frozen=True)
class ProbeData:
    """The three parts of one data split."""

    name: str
    train: Part
    valid: Part
    test: Part

    @classmethod
    def of(cls, task: EmbeddedTask, split: DataSplit, standardise: bool) -> ProbeData:
        """Take the parts of a task's data split; the scaler, if any, is measured on the training rows."""
        parts = [task.rows(names) for names in (split.train, split.valid, split.test)]
        scaler = Scaler.measure(parts[0]) if standardise else None
        return cls(split.name, *(Part(rows, scaler) for rows in parts))


def measure_offset(part: Part) -> NDArray[np.float32]:
    """Measure the common offset ``(D,)`` of embeddings, where it would cost digits in bfloat16.

    That is their mean, or zeros if they are standardised or their mean is small beside their deviation
    (root mean squares over the D values).
    """
    if part.scaler is not None:
        return np.zeros_like(part.scaler.mean)
    scaler = Scaler.measure(part.rows)
    is_small = np.mean(scaler.mean**2) < _SMALL_OFFSET**2 * np.mean(scaler.deviation**2)
    return np.zeros_like(scaler.mean) if is_small else scaler.mean


def _float64_parts(rows: Rows) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(rows), _ROWS_PER_PASS):
        yield rows.embeddings(start, start + _ROWS_PER_PASS).astype(np.float64)

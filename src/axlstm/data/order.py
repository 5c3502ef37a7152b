"""Order records and crops by pure functions of seed, epoch and position, so that a position is a whole state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import DataError

_MASK = 2**64 - 1
_LENGTHS_STREAM = 0x1E4  # keeps the lengths of steps apart from the crops of records


def epoch_order(starts: Sequence[int], seed: int, epoch: int, shuffle_records: int) -> NDArray[np.int64]:
    """Return all records once, in the order of an epoch: ``(N,)``.

    Shards are shuffled, put one after another, and the records of every ``shuffle_records`` neighbours are
    shuffled among themselves: a shuffle buffer that can be entered at any position. Reading stays local to
    the shards of one stretch.

    Args:
        starts: number of each shard's first record, and the count of all records at the end.
    """
    rng = np.random.default_rng([seed, epoch])
    parts = [np.arange(starts[shard], starts[shard + 1]) for shard in rng.permutation(len(starts) - 1)]
    order = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    for begin in range(0, len(order), shuffle_records):
        rng.shuffle(order[begin : begin + shuffle_records])
    return order


@dataclass(frozen=True)
class BatchPlan:
    """Assigns records to the steps of training, and to the processes within a step.

    An epoch has as many steps as full global batches fit into it; the records left over differ from epoch to
    epoch. The records of a step do not depend on how many processes share them.

    Args:
        global_batch: crops of a step.
        crops: of each record.
        lengths: log-mel frames of a crop; each step has one of them, drawn evenly. Empty for the model's window.

    Raises:
        DataError: a global batch larger than the data.
    """

    starts: tuple[int, ...]
    global_batch: int
    seed: int
    shuffle_records: int
    crops: int = 1
    lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.starts[-1] < self.step_records:
            each = f" ({self.crops} of each record)" if self.crops > 1 else ""
            raise DataError(
                f"{self.starts[-1]} records are fewer than one global batch of {self.global_batch} crops{each}: "
                "set --optimiser.global-batch to fewer, or prepare more audio"
            )

    @property
    def step_records(self) -> int:
        """Count the records in a global batch."""
        return self.global_batch // self.crops

    @property
    def steps_per_epoch(self) -> int:
        """Count the optimiser steps in one epoch."""
        return self.starts[-1] // self.step_records

    def crop_frames(self, step: int) -> int | None:
        """Return the length of all crops of ``step``; None for the model's window."""
        if not self.lengths:
            return None
        return self.lengths[(sample_key(self.seed, step, _LENGTHS_STREAM) * len(self.lengths)) >> 64]

    def records(self, step: int, begin: int, end: int) -> tuple[int, NDArray[np.int64]]:
        """Return the epoch of ``step``, and the records ``begin`` to ``end`` of its global batch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        at = within * self.step_records
        return epoch, _cached_order(self.starts, self.seed, epoch, self.shuffle_records)[at + begin : at + end]


_cached_order = lru_cache(maxsize=2)(epoch_order)


def sample_key(seed: int, epoch: int, record: int) -> int:
    """Return 64 random bits of a record in an epoch, from which its crop and its mask are drawn.

    The finaliser of splitmix64 (Steele, Lea & Flood 2014), once for each number.
    """
    key = 0
    for number in (seed, epoch, record):
        key = (key + number + 0x9E3779B97F4A7C15) & _MASK
        key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & _MASK
        key ^= key >> 31
    return key


def crop_start(key: int, frames: int, window: int) -> int:
    """Return the first frame of a crop of ``window`` in ``frames``; each is equally likely; 0 in a shorter record."""
    places = max(1, frames - window + 1)
    return (key * places) >> 64

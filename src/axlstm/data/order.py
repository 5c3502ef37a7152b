"""The order of records and crops: pure functions of seed, epoch and position, so that a position is a whole state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import DataError

_MASK = 2**64 - 1


def epoch_order(starts: Sequence[int], seed: int, epoch: int, shuffle_records: int) -> NDArray[np.int64]:
    """All records once, in the order of an epoch: ``(N,)``.

    Shards are shuffled, put one after another, and the records of every ``shuffle_records`` neighbours are
    shuffled among themselves: a shuffle buffer that can be entered at any position. Reading stays local to
    the shards of one stretch.

    Args:
        starts: where the records of each shard begin, and their count at the end.
    """
    rng = np.random.default_rng([seed, epoch])
    parts = [np.arange(starts[shard], starts[shard + 1]) for shard in rng.permutation(len(starts) - 1)]
    order = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    for begin in range(0, len(order), shuffle_records):
        rng.shuffle(order[begin : begin + shuffle_records])
    return order


@dataclass(frozen=True)
class BatchPlan:
    """Which records each step of training, and each process in it, reads.

    An epoch has as many steps as full global batches fit into it; what is left over differs from epoch to
    epoch. The records of a step do not depend on how many processes share them.

    Raises:
        DataError: a global batch larger than the data.
    """

    starts: tuple[int, ...]
    global_batch: int
    seed: int
    shuffle_records: int

    def __post_init__(self) -> None:
        if self.starts[-1] < self.global_batch:
            raise DataError(
                f"{self.starts[-1]} records are fewer than one global batch of {self.global_batch} crops: "
                "set --optimiser.global-batch to fewer, or prepare more audio"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return self.starts[-1] // self.global_batch

    def records(self, step: int, begin: int, end: int) -> tuple[int, NDArray[np.int64]]:
        """The epoch of ``step``, and the records ``begin`` to ``end`` of its global batch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        at = within * self.global_batch
        return epoch, _cached_order(self.starts, self.seed, epoch, self.shuffle_records)[at + begin : at + end]


_cached_order = lru_cache(maxsize=2)(epoch_order)


def sample_key(seed: int, epoch: int, record: int) -> int:
    """64 random bits that belong to a record in an epoch: its crop and its mask are drawn from them.

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
    """Where in ``frames`` a crop of ``window`` begins, each place equally likely; 0 if the record is shorter."""
    places = max(1, frames - window + 1)
    return (key * places) >> 64

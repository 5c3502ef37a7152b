"""Train all probes of a task together: every seed and grid point is a member of one stacked model.

Statistically the same scores as `axlstm.evaluate.probes.exact`, at a fraction of the time. Every member has its own
random numbers, drawn from its seed alone, so its result does not depend on the other members (up to rounding).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from axlstm.devices import cpu_multiplies_bfloat16, find_device, find_dtype
from axlstm.errors import ConfigError
from axlstm.evaluate.probes.data import Part, ProbeData, measure_offset
from axlstm.evaluate.probes.exact import Fit, predict_best, torch_threads
from axlstm.evaluate.probes.protocol import ProbeConfig
from axlstm.evaluate.probes.selection import Judge, Progress
from axlstm.evaluate.probes.stacked import StackedProbe
from axlstm.options import ProbePrecision, check_choice

_CACHED_BYTES = 512 * 2**20  # inputs up to this size stay in memory in the compute precision
_BYTES_PER_WEIGHT = 26  # weight, gradient, two moments, the best so far, and copies for the products
# A CPU's caches hold about one member: larger stacks gain nothing there (benchmarks/probes.py).
_STACK_BYTES = {"cpu": 32 * 2**20, "cuda": 16 * 2**30}


@dataclass(frozen=True)
class Member:
    """One training of the batch: its grid point, and the seed of its first weights and dropout."""

    config: ProbeConfig
    seed: int


@dataclass(frozen=True)
class Compute:
    """The device and the precision of the trainings."""

    device: str = "cpu"  # as `find_device` takes it
    precision: ProbePrecision = "auto"  # bfloat16 where the processor multiplies it faster, else float32
    members_at_once: int | None = None  # as many as the caches (CPU) or the memory (GPU) hold
    threads: int = 1  # of the CPU: products this small gain little from more, and lose much on a busy machine

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, ProbePrecision)
        if self.threads < 1:
            raise ConfigError(f"threads={self.threads}: expected at least 1")
        _ = self.place  # an unknown device is refused here, before anything is trained

    @cached_property
    def place(self) -> torch.device:
        """Return the device by its own name, with "auto" resolved."""
        return find_device(self.device, ("cpu", "cuda"))

    @property
    def dtype(self) -> torch.dtype:
        """Return the type that matrix products take; sums, moments and weights are always float32."""
        if self.precision == "auto":
            fast = self.place.type == "cuda" or cpu_multiplies_bfloat16()
            return torch.bfloat16 if fast else torch.float32
        return find_dtype(self.precision)


def fit_batched(
    members: Sequence[Member], data: ProbeData, judge: Judge, compute: Compute
) -> Iterator[tuple[int, Fit]]:
    """Train all members on one data split; yields each one's position and fit as it ends.

    Memory is bounded: members are stacked only as far as `compute` allows, and embeddings that are too
    large to keep are read from disk batch by batch.
    """
    mean = torch.from_numpy(measure_offset(data.train))
    for alike in _group_alike(members):
        config = members[alike[0]].config
        widths = [len(mean), *[config.hidden_dim] * config.hidden_layers, data.train.rows.target.shape[1]]
        member_bytes = _BYTES_PER_WEIGHT * sum(a * b for a, b in pairwise(widths))
        limit = compute.members_at_once or max(1, _STACK_BYTES[compute.place.type] // member_bytes)
        for start in range(0, len(alike), limit):
            positions = alike[start : start + limit]
            with torch_threads(compute.threads):
                fits = list(_fit_stack(positions, [members[i] for i in positions], mean, data, judge, compute))
            yield from fits


def _fit_stack(
    positions: list[int], members: list[Member], mean: Tensor, data: ProbeData, judge: Judge, compute: Compute
) -> Iterator[tuple[int, Fit]]:
    began = time.perf_counter()
    config = members[0].config
    configs, seeds = [member.config for member in members], [member.seed for member in members]
    stack = StackedProbe(configs, seeds, mean.to(compute.place), data.train.rows.target.shape[1], compute.dtype)
    train = _Inputs(data.train, stack, config, least_rows=2 if config.hidden_layers else 1)
    valid = _Inputs(data.valid, stack, config)
    if not train.batches:
        raise ConfigError(f"{data.name}: a probe with hidden layers needs at least 2 training clips in a batch")
    progress = [Progress(judge.maximise, member.config.patience) for member in members]
    best: dict[int, dict[str, Tensor]] = {}
    running = list(range(len(members)))  # the members in the stack, in its order
    for epoch in range(config.max_epochs):
        for inputs, target in train:
            stack.train_step(inputs, target, judge.is_multiclass)
        is_last = epoch + 1 == config.max_epochs
        if (epoch + 1) % config.check_val_every_n_epoch == 0:
            logits = torch.cat([stack.predict(inputs).cpu() for inputs, _ in valid], dim=1)  # (M, n, K)
            for row, (i, check) in enumerate(zip(running, judge.check_members(epoch, logits), strict=True)):
                if progress[i].add(check):
                    best[i] = stack.member_state(row)
        over = [i for i in running if progress[i].is_over or is_last]
        for i in over:
            minutes = (time.perf_counter() - began) / 60 / len(members)
            weights = {name: value.cpu() for name, value in best.pop(i, {}).items()}
            found, curve = progress[i].best, tuple(progress[i].curve)
            assert found is not None  # ProbeConfig makes sure that there is one
            fit = Fit(members[i].config, found, curve, epoch + 1, minutes, weights)
            if compute.dtype != torch.float32:
                fit = replace(fit, best=judge.check(fit.best.epoch, predict_best(fit, data.valid)))
            yield positions[i], fit
        rows = [row for row, i in enumerate(running) if i not in over]
        running = [running[row] for row in rows]
        if not running:
            return
        if over:
            stack.keep_members(rows)


class _Inputs:
    """The batches of a part as a stack takes them, kept in memory unless they are too large."""

    def __init__(self, part: Part, stack: StackedProbe, config: ProbeConfig, least_rows: int = 1) -> None:
        self.part, self.stack = part, stack
        # A last batch of one clip has no batch statistics: it is left out of training (the kit fails).
        self.batches = [(a, b) for a, b in part.batches(config.batch_size) if b - a >= least_rows]
        size = len(part) * len(stack.mean) * stack.dtype.itemsize
        self.kept = [self._read(a, b) for a, b in self.batches] if size <= _CACHED_BYTES else None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.kept if self.kept is not None else (self._read(a, b) for a, b in self.batches)

    def _read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return inputs ``(n, D)`` and targets ``(K, n)``."""
        target = self.part.target(start, stop).t().contiguous()
        return self.stack.prepare(self.part.embeddings(start, stop)), target.to(self.stack.mean.device)


def _group_alike(members: Sequence[Member]) -> list[list[int]]:
    """Group the positions of members that can be stacked (same shapes and schedule), each group by learning rate."""
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, c in enumerate(member.config for member in members):
        groups[c.hidden_layers, c.hidden_dim, c.batch_size, c.max_epochs, c.check_val_every_n_epoch].append(i)
    return [sorted(group, key=lambda i: members[i].config.lr) for group in groups.values()]

"""Measure what a step of a pilot costs, in steps of the base recipe, so that all pilots can cost the same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from axlstm.data.order import BatchPlan
from axlstm.data.reader import Batch, CropReader, micro_batches
from axlstm.data.shards import open_shards
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.loop import open_teachers
from axlstm.pretrain.stepper import Stepper
from axlstm.training.world import joined_world

_ROUNDS = 3


def step_cost(config: PretrainConfig, base: PretrainConfig, shards: Path) -> float:
    """Measure how many steps of ``base`` one step of ``config`` costs.

    Both take turns in this process, and the median of the turns' ratios counts: other work on the machine slows down
    both. Time is the processor's, not that of the wall. Crops of several lengths are measured one length at a time.
    """
    lengths = config.objective.crop_seconds
    forms = [replace(config, objective=replace(config.objective, crop_seconds=(length,))) for length in lengths]
    return statistics.fmean(_ratio(form, base, shards) for form in forms or [config])


def _ratio(config: PretrainConfig, base: PretrainConfig, shards: Path) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExitStack() as held:
            runs = [held.enter_context(closing(_timed_steps(form, shards))) for form in (config, base)]
            rounds = [[next(run) for run in runs] for _ in range(1 + _ROUNDS)]  # the first warms up
    finally:
        torch.set_num_threads(before)
    return statistics.median(ours / theirs for ours, theirs in rounds[1:])


def _timed_steps(config: PretrainConfig, shards: Path) -> Generator[float]:
    """Train a fresh model; yields the processor's seconds of each step, reading included."""
    with joined_world("cpu") as world, _open_batches(config, shards) as (batches, sizes):
        stepper = Stepper(MaskedPatchModel.initialised(config.model, config.seed), config, world, sizes)
        stepper.model.train()
        while True:
            began = time.process_time()
            stepper.step(batches, config.optimiser.peak_learning_rate / 100, stop=False)
            yield time.process_time() - began


@contextmanager
def _open_batches(config: PretrainConfig, shards: Path) -> Iterator[tuple[Iterator[Batch], list[int]]]:
    """Open the batches of a run's first epoch, and the sizes of its teachers' embeddings."""
    objective, split = config.objective, open_shards(shards)
    teachers = open_teachers(objective.teachers, split)
    order = (config.seed, config.reading.shuffle_records, objective.crops, config.crop_frames)
    plan = BatchPlan(tuple(split.starts.tolist()), config.optimiser.global_batch, *order)
    reader = CropReader(split, config.model, config.seed, teachers, objective.crops, objective.input)
    with closing(reader), closing(micro_batches(reader, plan, first_step=0, last_step=plan.steps_per_epoch)) as batches:
        yield batches, [teacher.size for teacher in teachers]

"""Pretrain for a short while on the recordings, and reconstruct one of them from half of its patches."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from axlstm.audio.read import load_audio
from axlstm.checkpoints.own import Checkpoint, load_checkpoint
from axlstm.data.config import PrepareConfig
from axlstm.data.manifest import find_items, held_out_groups
from axlstm.data.prepare import Progress, prepare
from axlstm.errors import ConfigError
from axlstm.evaluate.pipeline import OnProgress
from axlstm.model.config import ModelConfig
from axlstm.pretrain import config as recipe
from axlstm.pretrain.config import PretrainLogConfig
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.reconstruct import Reconstruction, reconstruct_clip
from axlstm.samples import Sample, sample_path, samples
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig
from axlstm.training.metrics import read_metrics

NAME = "trained-here"  # of the weights, in the table of scores
_HELD_OUT = 0.12  # of the recordings, by author: about two of sixteen


@dataclass(frozen=True)
class DemoConfig:
    """Settings of the parts that train.

    Raises:
        ConfigError: a value out of its range.
    """

    steps: int = 48  # of pretraining
    batch: int = 8  # crops in a step
    seed: int = 0  # of the weights, the crops and the masks
    probe_seeds: int = 3

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("seed", 0), ("probe_seeds", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least {least}")


@dataclass(frozen=True)
class Training:
    """A training: its settings, its data and its losses."""

    config: recipe.PretrainConfig
    prepare: PrepareConfig
    checkpoint: Checkpoint
    folder: Path  # loads as a model
    held_out: tuple[Sample, ...]
    summary: dict[str, Any]  # as in summary.json
    metrics: list[dict[str, Any]]  # as in metrics.jsonl
    records: int  # in the training shards
    audio_seconds: float


def train_on_recordings(model: ModelConfig, work: Path, config: DemoConfig, on_progress: OnProgress) -> Training:
    """Write shards of the recordings to ``work/shards``, and train a few steps from fresh weights in ``work/run``.

    All recordings of some authors are held out, for the validation loss and for the reconstruction. The drum
    strokes are no part of it: the weights are probed on them.
    """
    manifest = work / "recordings.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group"])
        writer.writerows((sample_path(sample.name), sample.author) for sample in samples())
    preparation = PrepareConfig(record_seconds=4.0, held_out=_HELD_OUT, seed=config.seed)
    shards, run = work / "shards", work / "run"

    def count_items(progress: Progress) -> None:
        on_progress("prepare shards", progress.items_done, progress.items)

    index = prepare([manifest], shards, preparation, processes=1, on_progress=count_items)
    items, _ = find_items([manifest], preparation.grouping)
    held_out = held_out_groups(items, _HELD_OUT, config.seed)
    settings = short_run(model, config)

    def count_steps(step: int, _: Mapping[str, Any]) -> None:
        on_progress("pretrain", step, config.steps)

    count_steps(0, {})
    summary = pretrain(settings, shards, run, count_steps)
    if not summary["finished"]:
        raise KeyboardInterrupt
    train = index["splits"]["train"]
    return Training(
        config=settings,
        prepare=preparation,
        checkpoint=replace(load_checkpoint(run), name=NAME),
        folder=run,
        held_out=tuple(sample for sample in samples() if sample.author in held_out),
        summary=summary,
        metrics=read_metrics(run),
        records=train["records"],
        audio_seconds=sum(shard["seconds"] for shard in train["shards"]),
    )


def short_run(model: ModelConfig, config: DemoConfig) -> recipe.PretrainConfig:
    """Make the published recipe with a small batch, and a schedule and learning rate that fit it."""
    return recipe.PretrainConfig(
        model=model,
        optimiser=OptimiserConfig(learning_rate=1e-3, global_batch=config.batch, micro_batch=config.batch),
        schedule=ScheduleConfig(steps=config.steps, warmup_steps=config.steps // 8),
        reading=recipe.ReadingConfig(workers=0),
        # One thread: two that wait for each other gain little here, and lose much where other programs compute.
        hardware=HardwareConfig(device="cpu", threads=1),
        validation=recipe.ValidationConfig(every_steps=max(1, config.steps // 6), crops=config.batch),
        checkpoints=CheckpointConfig(every_steps=config.steps),
        log=PretrainLogConfig(every_steps=1),
        seed=config.seed,
    )


def reconstruct_recording(
    checkpoint: Checkpoint, candidates: tuple[Sample, ...], seed: int
) -> tuple[Sample, Reconstruction]:
    """Hide half of the patches of the first candidate, and let the model predict it all."""
    sample = candidates[0]
    waveform = load_audio(sample_path(sample.name))
    return sample, reconstruct_clip(checkpoint, waveform, recipe.ObjectiveConfig(), seed=seed, most_windows=2)

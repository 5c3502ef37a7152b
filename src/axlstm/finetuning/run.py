"""Fine-tune a model on labelled clips: the one function that the command, programs and studies call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from axlstm.checkpoints.own import fingerprint
from axlstm.checkpoints.sources import find_checkpoint
from axlstm.collection.classifiers.classifier import Classifier, is_classifier, load_classifier
from axlstm.errors import ConfigError
from axlstm.finetuning.clips import as_kind
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.loop import FinetuneRun
from axlstm.finetuning.sources import read_clips
from axlstm.finetuning.splits import fewer_clips, split_clips
from axlstm.training.loop import opened_workdir
from axlstm.training.metrics import OnMetrics

_DEFAULT = FinetuneConfig()


def finetune(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: FinetuneConfig = _DEFAULT,
    *,
    labels: Iterable[str] = (),
    fold: int | None = None,
    on_metrics: OnMetrics | None = None,
) -> dict[str, Any]:
    """Fine-tune a model in ``out`` until its validation score rises no more; returns what ``summary.json`` holds.

    The same call resumes an interrupted run exactly. ``out`` loads with `axlstm.load_model` and with
    `axlstm.load_classifier`: it is the model of the highest validation score. ``report.html`` shows how good it is.

    Args:
        model: as `axlstm.load_model` takes it.
        data: see `axlstm.finetuning.sources.read_clips`.
        out: a folder for this run.
        labels: of a collection; none for all.
        fold: that is tested with, see `axlstm.finetuning.splits.split_clips`.
        on_metrics: called in the main process with the step and its numbers, every ``log.every_steps``.

    Raises:
        ConfigError: an unknown model, or a setting that does not fit.
        DataError, TaskError: clips that cannot be read or learned from.
        TrainingError: a folder of another run, or a model that cannot be learned with.
        WriteError: the disk is full or fails.
        InUseError: another run is at work in ``out``.
    """
    clips = as_kind(read_clips(Path(data), labels), config.kind)
    parts = fewer_clips(split_clips(clips, config.seed, fold), config.clips.share, config.seed)
    base = find_checkpoint(model)
    given: Classifier | None = None
    if config.head.begin == "model":
        if not is_classifier(Path(model)):
            raise ConfigError(f"head.begin='model': {model} has no head of labels; expected a classifier's folder")
        given = load_classifier(Path(model))
    digest = f"{parts.fingerprint}/{fingerprint(base.model, base.frontend)}"
    with opened_workdir(config, Path(out)) as opened:
        # The run has no name here: whatever refers to the other processes ends with this call.
        return FinetuneRun(opened, base, given, parts, Path(data), digest, on_metrics).train()

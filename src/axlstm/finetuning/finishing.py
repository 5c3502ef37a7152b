"""Judge a finished run: calibrate on the clips that chose the model, score those to test with, write what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from axlstm import __version__
from axlstm.checkpoints.own import load_checkpoint
from axlstm.collection.classifiers.calibration import Target, calibrate_classes, calibrate_label, choose_threshold
from axlstm.collection.classifiers.classifier import BESIDE, DESCRIPTION, Classifier, FrameRule, load_classifier
from axlstm.collection.classifiers.intervals import FEW_GROUPS
from axlstm.evaluate.reporting.interval import Interval
from axlstm.files import write_atomically
from axlstm.finetuning.clips import Clip, Parts
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.events import choose_settings, judge_events
from axlstm.finetuning.network import ClipHead, TunedNetwork
from axlstm.finetuning.outcome import Outcome, judged_of, read_probe
from axlstm.finetuning.predicting import Predicted, predict
from axlstm.finetuning.predictions import write_predictions
from axlstm.finetuning.reading import BatchMaker
from axlstm.finetuning.report import make_report
from axlstm.finetuning.scores import Judged, difference, ranked_label, score
from axlstm.model.layouts import TimeLayout
from axlstm.training.world import World

REPORT = "report.html"
_FOLDS = 5  # of the validation clips, for a calibration that is told of others than it was fitted on


def read_network(folder: Path, pooling: Any) -> tuple[TunedNetwork, Classifier]:
    """Read a network from the files that a run is used by, in float32 on the CPU."""
    checkpoint, classifier = load_checkpoint(folder), load_classifier(folder)
    (layer,) = classifier.layers
    head = ClipHead(checkpoint.model.config.embedding_size, len(classifier.labels), pooling, 0.0)
    with torch.no_grad():
        for target, value in (
            (head.mean, classifier.mean),
            (head.deviation, classifier.deviation),
            (head.linear.weight, layer.weight),
            (head.linear.bias, layer.bias),
        ):
            target.copy_(torch.from_numpy(value))
        if head.attention is not None and classifier.attention is not None:
            head.attention.copy_(torch.from_numpy(classifier.attention))
    layout = TimeLayout(checkpoint.model.config, checkpoint.frontend)
    return TunedNetwork(checkpoint.model.encoder, layout, head).eval(), classifier


def write_outcome(
    workdir: Path,
    parts: Parts,
    maker: BatchMaker,
    spans: Mapping[str, range],
    names: Sequence[str],
    config: FinetuneConfig,
) -> dict[str, Any]:
    """Judge the model of a run, and write its classifier, calibrated, and its report; returns what a summary holds."""
    world = World(0, 1, torch.device("cpu"))
    pooling = None if parts.kind == "events" else config.head.pooling
    network, classifier = read_network(workdir, pooling)
    valid = predict(network, maker, spans["valid"], world)
    on = "test" if len(spans["test"]) else "valid"
    tested = predict(network, maker, spans[on], world) if on == "test" else valid
    classifier, notes = _calibrated(classifier, parts, valid, maker, config)
    clips = parts.test if on == "test" else parts.valid
    judged = judged_of(parts, clips, tested, maker.scale)
    outcome = _judge(workdir, parts, on, clips, judged, tested, classifier, names, maker, spans, valid, notes)
    encoder = replace(outcome.classifier.encoder, source=BESIDE)  # wherever the folder goes
    classifier = replace(outcome.classifier, card=_card(outcome, parts, config), encoder=encoder)
    outcome = replace(outcome, classifier=classifier)
    write_atomically(workdir / DESCRIPTION, classifier.files()[DESCRIPTION])
    write_predictions(workdir, parts, outcome.clips, outcome.probabilities)
    write_atomically(workdir / REPORT, make_report(workdir, parts, outcome, names))
    return {
        "scored_on": on,
        "scores": {name: _ends(value) for name, value in outcome.scores.items()},
        "probe": {name: _ends(value) for name, value in outcome.probe.items()},
        "gains": {name: _ends(value) for name, value in outcome.gains.items()},
        "average_precision": outcome.of_labels,
        "notes": list(outcome.notes),
    }


def _judge(
    workdir: Path,
    parts: Parts,
    on: str,
    clips: tuple[Clip, ...],
    judged: Judged,
    tested: Predicted,
    classifier: Classifier,
    names: Sequence[str],
    maker: BatchMaker,
    spans: Mapping[str, range],
    valid: Predicted,
    notes: tuple[str, ...],
) -> Outcome:
    probe = read_probe(workdir) if on == "test" else None
    scores: dict[str, Interval] = {}
    of_probe: dict[str, Interval] = {}
    gains: dict[str, Interval] = {}
    if parts.kind == "events":
        times = {part: [maker.times_ms(maker.reader.read(i)) for i in spans[part]] for part in ("valid", on)}
        settings = choose_settings(names[0], parts.valid, valid.frames, times["valid"], parts.labels)
        for name in names:
            scores[name] = judge_events(name, clips, tested.frames, times[on], parts.labels, settings)
            if probe is not None:
                of_probe[name] = judge_events(name, clips, probe.frames, times[on], parts.labels, settings)
        thresholds = np.full(len(parts.labels), settings.threshold)
        rule = FrameRule(settings.median_filter_ms, settings.min_duration)
        classifier = replace(classifier, thresholds=thresholds, frames=rule)
    else:
        for name in names:
            scores[name] = score(name, judged)
            if probe is not None:
                before = judged_of(parts, clips, probe, maker.scale)
                of_probe[name], gains[name] = score(name, before), difference(name, judged, before)
    probabilities = judged.probabilities(classifier.slope, classifier.offset)
    if parts.kind == "regression":
        of_labels: dict[str, float] = {}
    else:
        each = [ranked_label("mAP", judged.targets[:, k], probabilities[:, k])[0] for k in range(len(parts.labels))]
        of_labels = {label: float(value) for label, value in zip(parts.labels, each, strict=True)}
    groups = len(np.unique(judged.groups))
    few = (f"{groups} groups to judge by: intervals are too narrow",) if groups < FEW_GROUPS else ()
    where = () if on == "test" else ("no clips to test with: scores are of those that chose the model, and too high",)
    return Outcome(
        on, clips, judged, probabilities, scores, of_probe, gains, of_labels, classifier, (*notes, *few, *where)
    )


def _calibrated(
    classifier: Classifier, parts: Parts, valid: Predicted, maker: BatchMaker, config: FinetuneConfig
) -> tuple[Classifier, tuple[str, ...]]:
    """Calibrate on the validation clips: one slope for classes, a sigmoid for each label."""
    judged = judged_of(parts, parts.valid, valid, maker.scale)
    count = len(parts.labels)
    folds = judged.groups % _FOLDS
    target = Target(config.thresholds.precision, config.thresholds.recall)
    if parts.kind in ("regression", "events"):
        return classifier, ()
    notes: list[str] = []
    slope, offset = np.ones(count), np.zeros(count)
    probabilities = judged.probabilities()
    if parts.kind == "multiclass":
        found = calibrate_classes(judged.scores, judged.targets.argmax(axis=1), folds)
        slope[:], offset[:] = found.slope, found.offset
        probabilities = found.out_of_fold
        notes += [found.note] if found.note else []
    else:
        for label in range(count):
            known = np.isfinite(judged.targets[:, label])
            is_yes = judged.targets[known, label] > 0.5
            fitted = calibrate_label(judged.scores[known, label], is_yes, folds[known])
            slope[label], offset[label] = fitted.slope, fitted.offset
            probabilities[known, label] = fitted.out_of_fold[:, 0]
            notes += [f"{parts.labels[label]}: {fitted.note}"] if fitted.note else []
    thresholds = np.full(count, 0.5)
    for label in range(count):
        known = np.isfinite(judged.targets[:, label])
        chosen, told = choose_threshold(probabilities[known, label], judged.targets[known, label] > 0.5, target)
        thresholds[label] = chosen
        notes += [f"{parts.labels[label]}: {told}"] if told else []
    calibrated = replace(classifier, slope=slope, offset=offset, thresholds=thresholds)
    return calibrated, tuple(notes)


def _card(outcome: Outcome, parts: Parts, config: FinetuneConfig) -> dict[str, Any]:
    average = {
        label: {"average_precision": [None if np.isnan(value) else value, None, None]}
        for label, value in outcome.of_labels.items()
    }
    return {
        **outcome.classifier.card,
        "axlstm": __version__,
        "made_by": "axlstm finetune",
        "kind": parts.kind,
        "data": Path(parts.source).name,
        "clips": {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
        "scored_on": outcome.on,
        "scores": {name: _ends(value) for name, value in outcome.scores.items()},
        "labels": average,
        "notes": list(outcome.notes),
        "recipe": config.to_dict(),
    }


def _ends(interval: Interval) -> list[float | None]:
    values = (interval.mean, interval.low, interval.high)
    return [round(float(value), 6) if np.isfinite(value) else None for value in values]

"""Write the report of a fine-tuning: one web page with scores, confusions, calibration and the worst errors."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.collection.classifiers.intervals import show
from axlstm.collection.stretches import Stretch, encode_sound, read_stretch
from axlstm.errors import AudioError, describe_error
from axlstm.evaluate.reporting.figures import draw_confusion
from axlstm.finetuning.clips import Clip, Parts
from axlstm.finetuning.outcome import Outcome, worst
from axlstm.show import webpage
from axlstm.show.figures import new_figure, svg_text
from axlstm.training.metrics import read_metrics

_MOST_S = 10.0  # of a clip that is played
_BINS = 10  # of probabilities
_LEAST_IN_BIN = 5
_COLOUR = "#0072B2"


def make_report(workdir: Path, parts: Parts, outcome: Outcome, names: Sequence[str]) -> bytes:
    """Make the page.

    Args:
        names: of the scores, the one that chose first.
    """
    title = f"Fine-tuned on {Path(parts.source).name}"
    counts = {"train": len(parts.train), "validation": len(parts.valid), "test": len(parts.test)}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(f'{parts.kind} of {len(parts.labels)} labels; clips: {told}.')}</p>",
        *_score_parts(outcome, names),
        "<ul>" + "".join(f"<li>{html.escape(note)}</li>" for note in outcome.notes) + "</ul>",
        "<h2>Training</h2>",
        webpage.figure(_draw_training(workdir, names[0]), "Loss and validation score over steps"),
    ]
    if parts.kind == "multiclass":
        drawn = draw_confusion(_confusions(outcome), parts.labels)
        body += ["<h2>Confusions</h2>", "<p>Share of each true class, by the most probable one.</p>"]
        body.append(webpage.figure(drawn, "Confusions"))
    if outcome.of_labels:
        body += ["<h2>Labels</h2>", webpage.table(["label", "average precision", "clips"], _label_rows(parts, outcome))]
    if parts.kind in ("multiclass", "multilabel"):
        body += [
            "<h2>Calibration</h2>",
            "<p>How often what has a probability is so: on the line, it can be trusted.</p>",
        ]
        body.append(webpage.figure(_draw_calibration(outcome), "Calibration"))
    body += ["<h2>Worst errors</h2>", _worst_table(parts, outcome)]
    return webpage.page(title, body).encode()


def _score_parts(outcome: Outcome, names: Sequence[str]) -> list[str]:
    header = [f"score on the {'test' if outcome.on == 'test' else 'validation'} clips", "fine-tuned"]
    if outcome.probe:
        header += ["frozen encoder", "gain"]
    rows = []
    for name in names:
        row = [name, show(outcome.scores[name], ".3f")]
        if outcome.probe:
            row += [show(outcome.probe[name], ".3f")]
            row += [show(outcome.gains[name], "+.3f") if name in outcome.gains else "-"]
        rows.append(row)
    return [
        webpage.table(header, rows),
        '<p class="small">With 95 % intervals over groups. Frozen encoder: the best linear probe on the encoder as it '
        "was, with which fine-tuning begins.</p>",
    ]


def _confusions(outcome: Outcome) -> NDArray[np.int64]:
    count = outcome.probabilities.shape[1]
    truth, guess = outcome.judged.targets.argmax(axis=1), outcome.probabilities.argmax(axis=1)
    found = np.zeros((count, count), np.int64)
    np.add.at(found, (truth, guess), 1)
    return found


def _label_rows(parts: Parts, outcome: Outcome) -> list[list[str]]:
    often = np.nansum(outcome.judged.targets, axis=0)
    values = [outcome.of_labels[label] for label in parts.labels]
    order = sorted(range(len(values)), key=lambda k: values[k] if often[k] else -math.inf)
    return [[parts.labels[k], show_number(values[k]), str(int(often[k]))] for k in order]


def show_number(value: float) -> str:
    """Write a share with two digits, or a dash for none."""
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _draw_training(workdir: Path, name: str) -> str:
    metrics = read_metrics(workdir)
    figure = new_figure(9, 3)
    axes = figure.subplots(1, 2)
    for axis, keys in ((axes[0], ("loss", "validation_loss")), (axes[1], ("validation_score",))):
        for key in keys:
            points = [(line["step"], line[key]) for line in metrics if line.get(key) is not None]
            if points:
                style = "-" if key == "loss" else "o-"
                axis.plot(*zip(*points, strict=True), style, label=key.replace("_", " "), markersize=3, linewidth=1)
        bounds = [
            (line["step"], line["validation_score_low"], line["validation_score_high"])
            for line in metrics
            if line.get("validation_score_low") is not None
        ]
        if keys == ("validation_score",) and bounds:
            steps, low, high = zip(*bounds, strict=True)
            axis.fill_between(steps, low, high, alpha=0.2, linewidth=0)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=7, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_title(name, fontsize=8)
    return svg_text(figure)


def _draw_calibration(outcome: Outcome) -> str:
    figure = new_figure(4, 3.4)
    axis: Axes = figure.subplots()
    targets, values = outcome.judged.targets, outcome.probabilities
    known = np.isfinite(targets)
    probability, truth = values[known], targets[known]
    edges = np.linspace(0, 1, _BINS + 1)
    axis.plot([0, 1], [0, 1], linestyle=":", color="#777777", linewidth=1)
    for low, high in pairwise(edges):
        own = (probability >= low) & ((probability < high) | (high == 1))
        if own.sum() >= _LEAST_IN_BIN:
            share = float(truth[own].mean())
            half = 1.96 * math.sqrt(max(share * (1 - share), 1e-12) / own.sum())
            axis.errorbar(float(probability[own].mean()), share, yerr=half, fmt="o", color=_COLOUR, markersize=4)
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_xlabel("probability", fontsize=8)
    axis.set_ylabel("share that is so", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    return svg_text(figure)


def _worst_table(parts: Parts, outcome: Outcome) -> str:
    rows, players = [], []
    for index, _ in worst(outcome):
        clip = outcome.clips[index]
        rows.append([Path(clip.name).name, _truth(parts, clip), _said(parts, outcome, index)])
        players.append(_play(clip))
    return webpage.table(["clip", "is", "the model says", ""], rows, players)


def _truth(parts: Parts, clip: Clip) -> str:
    if parts.kind == "regression":
        return f"{clip.value:g}"
    return ", ".join(parts.labels[number] for number in clip.labels) or "none"


def _said(parts: Parts, outcome: Outcome, index: int) -> str:
    values = outcome.probabilities[index]
    if parts.kind == "regression":
        return f"{values[0]:.4g}"
    order = np.argsort(-values, kind="stable")[:3]
    return ", ".join(f"{parts.labels[k]} {values[k]:.2f}" for k in order)


def _play(clip: Clip) -> str:
    try:
        if clip.begin_s is None:
            samples, rate = load_audio(clip.path), SAMPLE_RATE_HZ
        else:
            samples, rate = read_stretch(clip.path, Stretch(clip.begin_s, clip.end_s))
    except (AudioError, OSError) as error:
        return html.escape(describe_error(error))
    return webpage.play_sound(encode_sound(samples[: round(_MOST_S * rate)], rate, "FLAC"), "audio/flac")

"""Hold what a finished model says of the clips that it is judged by, and what the frozen encoder said before."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Classifier
from axlstm.evaluate.reporting.interval import Interval
from axlstm.files import write_atomically
from axlstm.finetuning.clips import Clip, Parts, targets_of
from axlstm.finetuning.predicting import Predicted
from axlstm.finetuning.scores import Judged, group_numbers

PROBE_NAME = "probe.npz"
_WORST = 12


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answers of a finished model for the clips to test with, or to validate with where there are none.

    Args:
        on: "test" or "valid".
        clips: of that part.
        judged: what is said of them; None of events.
        probabilities: calibrated ``(n, K)``; of a regression, predicted numbers in their own unit.
        scores, gains: by name; how much higher than those of the frozen probe.
        classifier: calibrated, with thresholds.
    """

    on: str
    clips: tuple[Clip, ...]
    judged: Judged
    probabilities: NDArray[np.float64]
    scores: dict[str, Interval]
    probe: dict[str, Interval]
    gains: dict[str, Interval]
    of_labels: dict[str, float]
    classifier: Classifier
    notes: tuple[str, ...]


def judged_of(parts: Parts, clips: Sequence[Clip], predicted: Predicted, scale: tuple[float, float]) -> Judged:
    """Put what is predicted of clips beside what is known of them."""
    targets = targets_of(clips, parts.kind, len(parts.labels), scale).astype(np.float64)
    return Judged(parts.kind, predicted.scores, targets, group_numbers([clip.group for clip in clips]))


def keep_probe(workdir: Path, predicted: Predicted) -> None:
    """Keep what the frozen encoder's probe says of the clips to test with."""
    frames = {f"frames_{number}": one for number, one in enumerate(predicted.frames)}
    content = io.BytesIO()
    np.savez(content, scores=predicted.scores, **frames)  # type: ignore[arg-type]
    write_atomically(workdir / PROBE_NAME, content.getvalue())


def read_probe(workdir: Path) -> Predicted | None:
    """Read what `keep_probe` kept; None if there is nothing."""
    path = workdir / PROBE_NAME
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        frames = [file[f"frames_{number}"] for number in range(len(file.files) - 1)]
        return Predicted(file["scores"], frames, float("nan"))


def worst(outcome: Outcome) -> list[tuple[int, float]]:
    """Return the clips about which the model is most wrong, and how wrong: the worst first."""
    judged, values = outcome.judged, outcome.probabilities
    if judged.kind == "regression":
        wrong = np.abs(judged.targets[:, 0] - judged.scores[:, 0])
    elif judged.kind == "multiclass":
        wrong = 1 - values[np.arange(len(values)), judged.targets.argmax(axis=1)]
    else:
        wrong = np.nanmax(np.abs(np.nan_to_num(judged.targets, nan=0.5) - values), axis=1)
    order = np.argsort(-wrong, kind="stable")[:_WORST]
    return [(int(index), float(wrong[index])) for index in order]

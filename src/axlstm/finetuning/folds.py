"""Fine-tune once for each fold, and score all clips together: each by a model that never saw it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.errors import DataError
from axlstm.files import write_atomically
from axlstm.finetuning.clips import Parts, as_kind, targets_of
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.predictions import PREDICTIONS, read_predictions
from axlstm.finetuning.run import finetune
from axlstm.finetuning.scores import Judged, group_numbers, score, score_names
from axlstm.finetuning.sources import read_clips
from axlstm.finetuning.splits import count_folds, split_clips
from axlstm.training.metrics import OnMetrics

_DEFAULT = FinetuneConfig()
_LEAST = 1e-12  # of a probability whose logarithm is taken


def finetune_folds(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: FinetuneConfig = _DEFAULT,
    *,
    labels: Iterable[str] = (),
    on_metrics: OnMetrics | None = None,
) -> dict[str, Any]:
    """Fine-tune for each fold in ``out/fold-N``, and score all clips together; returns what ``folds.json`` holds.

    Folds that are finished stay as they are. Errors are those of `axlstm.finetune`.
    """
    out, labels = Path(out), tuple(labels)
    clips = as_kind(read_clips(Path(data), labels), config.kind)
    count = count_folds(clips, config.seed)
    if count < 2:
        raise DataError(f"{data}: its splits say what is tested with, so that there are no folds; leave the folds out")
    summaries, all_parts = [], []
    for fold in range(count):
        folder = out / f"fold-{fold}"
        summaries.append(finetune(model, data, folder, config, labels=labels, fold=fold, on_metrics=on_metrics))
        if not summaries[-1]["finished"]:
            return {"finished": False, "folds": count, "done": fold, "rank": summaries[-1]["rank"]}
        all_parts.append(split_clips(clips, config.seed, fold))
    names = score_names(clips.kind, config.stopping.score or clips.score)
    each = {name: [summary["scores"][name][0] for summary in summaries] for name in names}
    result: dict[str, Any] = {
        "finished": True,
        "folds": count,
        "score": names[0],
        "of_folds": each,
        "probe_of_folds": {name: [one["probe"].get(name, [None])[0] for one in summaries] for name in names},
        "scores": {} if clips.kind == "events" else _joined(out, all_parts, names),
        "rank": summaries[0]["rank"],
    }
    if result["rank"] == 0:
        write_atomically(out / "folds.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def _joined(out: Path, parts: list[Parts], names: tuple[str, ...]) -> dict[str, list[float | None]]:
    """Score the clips that the folds were tested with, all together, with intervals over their groups."""
    kind, labels = parts[0].kind, parts[0].labels
    tested = [clip for one in parts for clip in one.test]
    values = np.concatenate(
        [read_predictions(out / f"fold-{fold}" / PREDICTIONS, len(labels)) for fold in range(len(parts))]
    )
    scores = values
    if kind == "multiclass":
        scores = np.log(np.maximum(values, _LEAST))
    elif kind == "multilabel":
        scores = np.log(np.maximum(values, _LEAST)) - np.log(np.maximum(1 - values, _LEAST))
    judged = Judged(
        kind,
        scores,
        targets_of(tested, kind, len(labels)).astype(np.float64),
        group_numbers([clip.group for clip in tested]),
    )
    found = {name: score(name, judged) for name in names}
    return {
        name: [round(float(end), 6) if np.isfinite(end) else None for end in (one.mean, one.low, one.high)]
        for name, one in found.items()
    }

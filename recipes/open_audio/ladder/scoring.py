"""Score encoders on the validation part: logistic regression on mean and deviation, nearest neighbours on the mean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from axlstm.evaluate.embedding.encoders import Candidate
from axlstm.evaluate.embedding.packed import EmbeddedTask, read_embeddings
from axlstm.evaluate.pipeline import choose_models, embed_models
from axlstm.evaluate.probes.probe import probe_embeddings
from axlstm.evaluate.probes.protocol import find_protocol
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.files import write_atomically

LOGISTIC, NEIGHBOURS = "logistic", "neighbours"
MEASURES = (LOGISTIC, NEIGHBOURS)
_PROTOCOLS = {LOGISTIC: "logreg", NEIGHBOURS: "knn"}

Scores = dict[str, dict[str, float]]
"""Scores by measure and task."""


def score_encoder(source: str, name: str, tasks: Path, out: Path, report: Callable[[str], None]) -> Scores:
    """Score a model on every task of the validation part; ``OUT/NAME.json`` keeps the scores.

    Embeddings are removed afterwards. Encoders of others pool as they do, for both measures.

    Raises:
        TaskError: a task that the model could not embed.
    """
    path = out / f"{name}.json"
    if path.is_file():
        kept: Scores = json.loads(path.read_text(encoding="utf-8"))
        return kept
    embeddings = out / f"{name}.embeddings"
    plain = Candidate(source, name)
    models = [plain] if plain.is_module else choose_models([source], name, ("mean", "mean+deviation"))
    _, failures = embed_models(models, tasks, embeddings)
    if failures:
        raise TaskError("; ".join(f"{label}: {reason}" for label, reason in failures.items()))
    scores: Scores = {measure: {} for measure in MEASURES}
    for task in sorted(path.name for path in tasks.iterdir() if path.is_dir()):
        for measure, model in ((LOGISTIC, models[-1]), (NEIGHBOURS, models[0])):
            task_embeddings = read_embeddings(embeddings / model.name / task)
            scores[measure][task] = probe_score(task_embeddings, _PROTOCOLS[measure])
        report(f"{name} {task}: {scores[LOGISTIC][task]:.3f} {scores[NEIGHBOURS][task]:.3f}")
    write_atomically(path, json.dumps(scores, indent=1).encode())
    shutil.rmtree(embeddings)
    return scores


def probe_score(task: EmbeddedTask, protocol: str) -> float:
    """Score a task's embeddings by its first score, under a protocol without random numbers."""
    (outcome,) = probe_embeddings(task, [0], find_protocol(protocol))
    return float(outcome.splits[0].values[f"test_{task.metadata.primary_score}"])


def mean_difference(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, float, int]:
    """Return mean difference of two systems' scores over tasks, half its 95 % interval, and the tasks won.

    The interval is Student's, over tasks: it says whether other tasks of this kind would agree, for these weights.
    """
    from scipy.stats import t

    differences = np.array([first[task] - second[task] for task in sorted(second)])
    spread = differences.std(ddof=1) / np.sqrt(len(differences))
    half = float(t.ppf(0.975, len(differences) - 1) * spread)
    return float(differences.mean()), half, int((differences > 0).sum())


def mean_score(scores: Mapping[str, float], tasks: Sequence[str] | None = None) -> float:
    """Average scores over tasks."""
    return float(np.mean([scores[task] for task in tasks or sorted(scores)]))

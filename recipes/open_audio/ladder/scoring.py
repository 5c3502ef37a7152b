"""Score encoders on the validation part: logistic regression on mean and deviation, nearest neighbours on the mean."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.evaluate.embedding.encoders import Candidate
from axlstm.evaluate.embedding.packed import EmbeddedTask, Rows, read_embeddings
from axlstm.evaluate.pipeline import choose_models, embed_models
from axlstm.evaluate.probes.probe import probe_embeddings
from axlstm.evaluate.probes.protocol import find_protocol
from axlstm.evaluate.scoring.clips import scene_score
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.files import write_atomically

LOGISTIC, NEIGHBOURS = "logistic", "neighbours"
MEASURES = (LOGISTIC, NEIGHBOURS)
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # scikit-learn's C
_MOST_ITERATIONS = 200

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
        scores[LOGISTIC][task] = logistic_score(read_embeddings(embeddings / models[-1].name / task))
        scores[NEIGHBOURS][task] = neighbour_score(read_embeddings(embeddings / models[0].name / task))
        report(f"{name} {task}: {scores[LOGISTIC][task]:.3f} {scores[NEIGHBOURS][task]:.3f}")
    write_atomically(path, json.dumps(scores, indent=1).encode())
    shutil.rmtree(embeddings)
    return scores


def neighbour_score(task: EmbeddedTask) -> float:
    """Score nearest neighbours, as ``--protocol knn`` does."""
    (outcome,) = probe_embeddings(task, [0], find_protocol("knn"))
    return float(outcome.splits[0].values[f"test_{task.metadata.primary_score}"])


def logistic_score(task: EmbeddedTask) -> float:
    """Score logistic regression on standardised embeddings: the penalty by the valid part, then trained on both."""
    train, valid, test = (task.rows((name,)) for name in ("train", "valid", "test"))
    multiclass, score = task.metadata.is_multiclass, task.metadata.primary_score

    def tried(penalty: float, *parts: Rows, on: Rows) -> float:
        features = np.concatenate([part.embeddings() for part in parts]).astype(np.float64)  # (N, D)
        target = np.concatenate([part.target for part in parts])  # (N, K)
        mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
        asked = (on.embeddings() - mean) / deviation
        predicted = logistic_regression((features - mean) / deviation, target, asked, penalty, multiclass)
        return scene_score(score, on.target, predicted)

    best = max(_PENALTIES, key=lambda penalty: (tried(penalty, train, on=valid), -penalty))
    return tried(best, train, valid, on=test)


def logistic_regression(
    features: NDArray[np.float64],
    target: NDArray[np.uint8],
    asked: NDArray[np.float64],
    penalty: float,
    multiclass: bool,
) -> NDArray[np.float64]:
    """Fit ``features (N, D)`` and ``target (N, K)``, and return the probabilities ``(n, K)`` of ``asked (n, D)``.

    A class without an example has probability 0; in a multilabel task, one that all examples have is certain.
    """
    from sklearn.linear_model import LogisticRegression

    # With fewer examples than dimensions the same solution lies in the span of the examples, which is smaller.
    if len(features) < features.shape[1]:
        basis = np.linalg.qr(features.T)[0]  # (D, N)
        features, asked = features @ basis, asked @ basis
    predicted = np.zeros((len(asked), target.shape[1]))
    model = LogisticRegression(C=penalty, max_iter=_MOST_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of weak penalties that do not converge; of many classes
        if multiclass:
            model.fit(features, target.argmax(axis=1))
            predicted[:, model.classes_] = model.predict_proba(asked)
            return predicted
        for k in range(target.shape[1]):
            predicted[:, k] = target[0, k]
            if target[:, k].min() < target[:, k].max():
                predicted[:, k] = model.fit(features, target[:, k]).predict_proba(asked)[:, 1]
    return predicted


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

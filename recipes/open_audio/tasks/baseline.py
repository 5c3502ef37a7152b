"""Score log-mel statistics on the tasks: the baseline that every encoder has to beat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from axlstm.errors import AxlstmError
from axlstm.evaluate.embedding.encoders import Candidate
from axlstm.evaluate.pipeline import EvaluationConfig, embed_models, probe_folders
from axlstm.evaluate.reporting.results import read_results

MODEL, PROTOCOL = "logmel", "linear"


@dataclass(frozen=True)
class Baseline:
    """The mean score over probe seeds, and their deviation; NaN if no event of an event task was found."""

    score: float
    deviation: float
    seeds: int


def score_baseline(tasks: dict[Path, str], out: Path, seeds: int, report: Callable[[str], None]) -> dict[str, Baseline]:
    """Compute the scores by task, or read those of earlier runs of the same task.

    Args:
        tasks: folders, with the digests of their plans.
        out: for embeddings and results.

    Raises:
        AxlstmError: a task that cannot be probed.
    """
    config = EvaluationConfig(PROTOCOL, seeds)
    roots = set()
    for path, digest in tasks.items():
        of_task = out / digest[:8]
        report(f"{path.name}: {MODEL}")
        folders, failures = embed_models([Candidate(MODEL)], path, of_task / "embeddings")
        failures |= probe_folders(folders, of_task / "results", config)
        for label, reason in failures.items():
            raise AxlstmError(f"{label}: {reason}")
        roots.add(of_task / "results")
    scores: dict[str, list[float]] = defaultdict(list)
    for root in sorted(roots):
        for result in read_results([root]):
            if result.seed < seeds:
                scores[result.task].append(result.score)
    return {
        task: Baseline(round(mean(found), 4), round(stdev(found) if len(found) > 1 else 0.0, 4), len(found))
        for task, found in scores.items()
    }

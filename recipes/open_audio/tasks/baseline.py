"""Score log-mel statistics on the tasks: the baseline that every encoder has to beat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from axlstm.errors import AxlstmError
from axlstm.evaluate.embedding.encoders import load_encoder
from axlstm.evaluate.embedding.stage import embed_task
from axlstm.evaluate.pipeline import ProbeRun, find_embeddings, probe_folders
from axlstm.evaluate.probes.protocol import find_protocol
from axlstm.evaluate.reporting.results import read_results
from axlstm.evaluate.tasks.read import read_task

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
    encoder = load_encoder(MODEL)
    folders = []
    for path, digest in tasks.items():
        of_task = out / digest[:8]
        report(f"{path.name}: {MODEL}")
        embed_task(encoder, read_task(path), of_task / "embeddings")
        folders += find_embeddings(of_task / "embeddings" / encoder.name / path.name)
    run = ProbeRun(find_protocol(PROTOCOL), tuple(range(seeds)))
    for folder in folders:
        failed = probe_folders([folder], folder.parents[2] / "results", run)
        if failed:
            raise AxlstmError(f"{MODEL} on {folder.name}: {failed[folder]}")
    scores: dict[str, list[float]] = defaultdict(list)
    for root in sorted({folder.parents[2] / "results" for folder in folders}):
        for result in read_results([root]):
            if result.seed < seeds:
                scores[result.task].append(result.score)
    return {
        task: Baseline(round(mean(found), 4), round(stdev(found) if len(found) > 1 else 0.0, 4), len(found))
        for task, found in scores.items()
    }

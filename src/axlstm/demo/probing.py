"""Probe the small task that comes with the package: drum strokes, tested on kits that the probe has not heard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from axlstm.demo.training import NAME, DemoConfig, Training
from axlstm.embed.embedder import Embedder
from axlstm.errors import AxlstmError
from axlstm.evaluate.embedding.encoders import BASELINE, Candidate
from axlstm.evaluate.pipeline import EvaluationConfig, OnProgress, evaluate_models
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.evaluate.tasks.read import Task
from axlstm.samples import strokes, strokes_table

TASK_NAME = "drum_strokes"
CLIP_SECONDS = 1.0


@dataclass(frozen=True)
class Probes:
    """Scores on the task, by encoder; ``sizes`` are embedding size and parameters."""

    task: Task
    results: list[Result]
    encoders: list[str]  # in the order they should be shown
    sizes: dict[str, tuple[int, int]]

    @property
    def chance(self) -> float:
        """Score the answer that is always the commonest drum of all kits, averaged over the kits as the score is."""
        labels = {split: [clip[0] for clip in content.values()] for split, content in self.task.splits.items()}
        everything = [label for split in labels.values() for label in split]
        commonest = max(sorted(set(everything)), key=everything.count)
        return sum(split.count(commonest) / len(split) for split in labels.values()) / len(labels)


def probe_strokes(
    embedder: Embedder, training: Training, work: Path, config: DemoConfig, on_progress: OnProgress
) -> Probes:
    """Make the task, embed it with the encoder, the weights trained here and the log-mel baseline, and probe them."""
    folds = len({stroke.group for stroke in strokes()})
    task = make_task(strokes_table(), work / "tasks", TaskRecipe(TASK_NAME, folds, CLIP_SECONDS, ("top1_acc",)))
    models = [
        Candidate(embedder.name or "encoder", build=lambda: embedder),
        Candidate(str(training.folder), NAME),
        Candidate(BASELINE),
    ]
    settings = EvaluationConfig(seeds=config.probe_seeds)
    done = evaluate_models(models, task.path, work / "evaluation", settings, on_progress)
    for label, reason in done.failures.items():
        raise AxlstmError(f"{label}: {reason}")
    sizes = {result.model: (result.run["embedding_size"], result.run["parameters"]) for result in done.results}
    return Probes(task, done.results, [model.name for model in models], sizes)

"""The small task that comes with the package: drum strokes, tested on kits that the probe has not heard."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from axlstm.demo.config import Advance, DemoConfig
from axlstm.demo.training import NAME, Training
from axlstm.embed.embedder import Embedder
from axlstm.errors import AxlstmError
from axlstm.evaluate.embedding.encoders import BASELINE, Encoder, load_encoder
from axlstm.evaluate.embedding.stage import embed_task
from axlstm.evaluate.pipeline import ProbeRun, parse_seeds, probe_folders
from axlstm.evaluate.probes.protocol import find_protocol
from axlstm.evaluate.reporting.results import Result, read_results
from axlstm.evaluate.reporting.statistics import Scores
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
    def scores(self) -> Scores:
        """The results as the statistics take them."""
        return Scores(self.results)

    @property
    def chance(self) -> float:
        """Accuracy of always giving the commonest drum of all kits, averaged over the kits as the score is."""
        labels = {split: [clip[0] for clip in content.values()] for split, content in self.task.splits.items()}
        everything = [label for split in labels.values() for label in split]
        commonest = max(sorted(set(everything)), key=everything.count)
        return sum(split.count(commonest) / len(split) for split in labels.values()) / len(labels)


def probe_strokes(embedder: Embedder, training: Training, work: Path, config: DemoConfig, advance: Advance) -> Probes:
    """Make the task, embed it with the encoder, the weights trained here and the log-mel baseline, and probe them."""
    folds = len({stroke.group for stroke in strokes()})
    task = make_task(strokes_table(), work / "tasks", TaskRecipe(TASK_NAME, folds, CLIP_SECONDS, ("top1_acc",)))
    encoders = [
        Encoder(embedder.name or "encoder", embedder.name, importlib.import_module("axlstm.hear"), embedder),
        load_encoder(str(training.folder), name=NAME),
        load_encoder(BASELINE),
    ]
    clips = sum(len(content) for content in task.splits.values())
    embedded = _Counter(advance, "embed the drum strokes", clips * len(encoders))
    folders = [embed_task(encoder, task, work / "embeddings", embedded) for encoder in encoders]
    run = ProbeRun(find_protocol("published"), tuple(parse_seeds(config.probe_seeds)))
    trained = _Counter(advance, "probe", 0)

    def start(_: Path, trainings: int) -> None:
        trained.total = trainings * len(folders)  # of every encoder as many

    failed = probe_folders(folders, work / "results", run, start, trained)
    for folder, reason in failed.items():
        raise AxlstmError(f"{folder.parent.name} on {TASK_NAME}: {reason}")
    return Probes(
        task,
        read_results([work / "results"]),
        [encoder.name for encoder in encoders],
        {encoder.name: (int(encoder.model.scene_embedding_size), encoder.parameters) for encoder in encoders},
    )


class _Counter:
    """Adds up what the parts of a stage report."""

    def __init__(self, advance: Advance, stage: str, total: int) -> None:
        self.advance, self.stage, self.total, self.done = advance, stage, total, 0

    def __call__(self, count: int) -> None:
        self.done += count
        self.advance(self.stage, self.done, self.total)

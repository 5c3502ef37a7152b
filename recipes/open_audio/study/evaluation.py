"""Embed and probe the suite with every system of the study, and write the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import axlstm
import axlstm.hear
from axlstm.errors import AxlstmError
from axlstm.evaluate.embedding.encoders import Encoder, load_encoder
from axlstm.evaluate.embedding.stage import embed_task
from axlstm.evaluate.pipeline import ProbeRun, find_embeddings, probe_folders
from axlstm.evaluate.probes.protocol import find_protocol
from axlstm.evaluate.reporting.report import write_report
from axlstm.evaluate.reporting.results import Result, read_results
from axlstm.evaluate.tasks.read import find_tasks, read_task
from recipes.open_audio.study.runs import System


class MeanOfLayers(nn.Module):
    """An embedder whose frames are the mean of the states after all blocks, in place of the last one's."""

    def __init__(self, source: str) -> None:
        super().__init__()
        depth = axlstm.load_model(source).config.depth
        self.embedder = axlstm.load_model(source, layers=list(range(1, depth + 1)))
        self.depth = depth
        self.sample_rate = self.embedder.sample_rate
        self.scene_embedding_size = self.timestamp_embedding_size = self.embedder.timestamp_embedding_size // depth
        self.fingerprint = f"{self.embedder.fingerprint}-mean"

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames ``(B, T, F)`` and times in ms ``(T,)``."""
        frames, times_ms = self.embedder(waveforms)
        return frames.unflatten(-1, (self.depth, -1)).mean(dim=-2), times_ms

    def pool(self, frames: Tensor) -> Tensor:
        """Pool frames to scenes, as `axlstm.hear` asks its models to."""
        return self.embedder.pool(frames)


def load_system(system: System) -> Encoder:
    """Load a system as `embed_task` takes it."""
    if system.untrained:
        model: nn.Module = axlstm.create_model(system.source)
    elif system.layers == "mean":
        model = MeanOfLayers(system.source)
    else:
        chosen = {"layout": system.layout, "pooling": system.pooling}
        options = {key: value for key, value in chosen.items() if value is not None}  # others' encoders know neither
        return load_encoder(system.source, name=system.name, **options)
    return Encoder(system.name, system.source, axlstm.hear, model)


def evaluate_systems(
    chosen: Sequence[System],
    tasks: Path,
    out: Path,
    seeds: int,
    protocol: str,
    report: Callable[[str], None],
) -> dict[str, str]:
    """Embed and probe with every system, unless it is done; returns the failures, with reasons."""
    failed: dict[str, str] = {}
    found = [read_task(path) for path in find_tasks(tasks)]
    for system in chosen:
        try:
            encoder = load_system(system)
        except (AxlstmError, ImportError, OSError, RuntimeError) as error:
            failed[system.name] = str(error)
            report(f"{system.name}: {error}")
            continue
        for task in found:
            try:
                embed_task(encoder, task, out / "embeddings")
                report(f"{system.name}: embedded {task.path.name}")
            except (AxlstmError, OSError, RuntimeError) as error:
                failed[f"{system.name} on {task.path.name}"] = str(error)
        run = ProbeRun(find_protocol(protocol), tuple(range(seeds)))
        folders = find_embeddings(out / "embeddings" / system.name)
        reasons = probe_folders(folders, out / "results" / protocol, run)
        failed |= {f"{system.name} on {folder.name}": reason for folder, reason in reasons.items()}
        report(f"{system.name}: probed {len(folders) - len(reasons)} tasks")
    write_report(read_results([out / "results" / protocol]), out / "report")
    return failed


def results_of(out: Path, protocol: str) -> list[Result]:
    """Read all results of the study under a protocol."""
    return read_results([out / "results" / protocol])


def clips_per_second(encoder: Encoder, rounds: int = 4, clips: int = 8, seconds: float = 2.0) -> float:
    """Measure how many two-second clips a system embeds in a second, in the fastest of some rounds."""
    import time

    audio = 0.1 * torch.randn(clips, round(seconds * encoder.sample_rate), generator=torch.Generator().manual_seed(0))
    encoder.scenes(audio)
    took_s = []
    for _ in range(rounds):
        began = time.perf_counter()
        encoder.scenes(audio)
        took_s.append(time.perf_counter() - began)
    return clips / min(took_s)

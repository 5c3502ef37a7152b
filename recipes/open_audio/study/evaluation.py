"""Embed and probe the suite with every system of the study, and write the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import axlstm
from axlstm.evaluate.embedding.encoders import Candidate, Encoder, load_variants
from axlstm.evaluate.pipeline import EvaluationConfig, evaluate_models
from axlstm.evaluate.reporting.results import Result, read_results
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


def candidate_of(system: System) -> Candidate:
    """Describe a system as `evaluate_models` takes it."""
    if system.untrained:
        return Candidate(system.source, system.name, build=lambda: axlstm.create_model(system.source))
    if system.layers == "mean":
        return Candidate(system.source, system.name, build=lambda: MeanOfLayers(system.source))
    chosen = {"layout": system.layout, "pooling": system.pooling}
    options = {key: value for key, value in chosen.items() if value is not None}  # others' encoders know neither
    return Candidate(system.source, system.name, options)


def load_system(system: System) -> Encoder:
    """Load a system, ready to embed."""
    return load_variants([candidate_of(system)])[0]


def evaluate_systems(
    chosen: Sequence[System],
    tasks: Path,
    out: Path,
    seeds: int,
    protocol: str,
    report: Callable[[str], None],
) -> dict[str, str]:
    """Embed and probe; what was done is not done again. Returns what failed, with the reason."""

    def report_finished(stage: str, done: int, total: int) -> None:
        if done == total:
            report(stage)

    models = [candidate_of(system) for system in chosen]
    return evaluate_models(models, tasks, out, EvaluationConfig(protocol, seeds), report_finished).failures


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

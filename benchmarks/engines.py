"""Measure clips through the encoder in each engine and precision, beside the released algorithm.

python -m benchmarks engines [--models axlstm-tiny axlstm-base] [--windows 1 4 16 30] [--threads 1 2] [--rounds 7]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import axlstm
from axlstm.audio.read import load_audio
from axlstm.embed.embedder import Embedder, Embedding
from axlstm.engines.runtimes import ENGINES, PRECISIONS
from axlstm.model.config import resolve_preset
from axlstm.options import Precision
from axlstm.samples import sample_paths
from benchmarks.machine import describe_machine
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import save
from benchmarks.timing import ratios, take_turns

_RELEASED = "released, eager float32"
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def engines(
    models: tuple[str, ...] = ("axlstm-tiny", "axlstm-base"),
    windows: tuple[int, ...] = (1, 4, 16, 30),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 7,
) -> int:
    """Time clips of real sound in torch and the engines, and compare the recordings' embeddings with float32's.

    Args:
        models: names of sizes (random weights), or folders with weights.
        windows: lengths of the clips, in windows of two seconds.
        threads: threads that compute.
        rounds: times each competitor runs.
    """
    before = torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    print(
        f"{'model':12} {'threads':>7} {'windows':>7} {'competitor':22} {'windows/s':>9}  "
        "ratio to released (lowest .. highest)   lowest cosine of scenes, mean of frames"
    )
    for name in models:
        for count in threads:
            torch.set_num_threads(count)
            rows += _compare(name, count, windows, rounds)
    torch.set_num_threads(before)
    save("engines", {"machine": describe_machine(), "rows": rows}, True)
    return 0


def _compare(name: str, threads: int, lengths: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    ours = {f"torch {precision}": _load(name, dtype=precision) for precision in _PRECISIONS}
    for engine in ENGINES:
        for precision in PRECISIONS[engine]:
            ours[f"{engine} {precision}"] = _load(name, dtype=precision, engine=engine)
    recordings = [load_audio(path) for path in sample_paths()]
    expected = ours["torch float32"].embed_batch(recordings, 16_000)
    likeness = {
        label: _likeness(embedder.embed_batch(recordings, 16_000), expected) for label, embedder in ours.items()
    }
    released = ReleasedEmbedder(_load(name))
    sound = np.concatenate(recordings)
    config, frontend = released.embedder.config, released.embedder.frontend
    window_samples = config.window_frames * frontend.hop_samples
    rows = []
    for length in lengths:
        clip = torch.from_numpy(np.resize(sound, length * window_samples))  # (n,)
        competitors: dict[str, Callable[[], object]] = {_RELEASED: partial(released.embed, clip)}
        competitors |= {label: partial(embedder.embed, clip, 16_000) for label, embedder in ours.items()}
        timings = take_turns(competitors, rounds)
        for label, timing in timings.items():
            low, middle, high = ratios(timings, label, _RELEASED)
            scene, frame = likeness.get(label, (1.0, 1.0))
            rows.append(
                {
                    "model": name,
                    "threads": threads,
                    "windows": length,
                    "competitor": label,
                    "windows_per_s": length / timing.median,
                    "ratio": [low, middle, high],
                    "lowest_scene_cosine": scene,
                    "mean_frame_cosine": frame,
                    "seconds": timing.seconds,
                }
            )
            print(
                f"{name:12} {threads:7d} {length:7d} {label:22} {length / timing.median:9.1f}  "
                f"{middle:.2f} ({low:.2f} .. {high:.2f})   {scene:.5f} {frame:.5f}",
                flush=True,
            )
    return rows


def _load(name: str, **options: Any) -> Embedder:
    make = axlstm.load_model if resolve_preset(name) is None else axlstm.create_model
    return make(name, **options)


def _likeness(embeddings: Sequence[Embedding], expected: Sequence[Embedding]) -> tuple[float, float]:
    """Return the lowest cosine of two scenes, and the mean cosine of all frames."""
    pairs = list(zip(embeddings, expected, strict=True))
    scenes = [float(_cosine(ours.scene, exact.scene)) for ours, exact in pairs]
    frames = np.concatenate([_cosine(ours.frames, exact.frames) for ours, exact in pairs])
    return min(scenes), float(frames.mean())


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    cosines: NDArray[np.float32] = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return cosines

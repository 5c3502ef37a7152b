"""Make many windows as a collection has them: of mixtures of the bundled recordings, through the real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.hub import load_model
from axlstm.samples import sample_paths

CLIP_S = 30


def mixture(recordings: list[NDArray[np.float32]], seed: int, seconds: float = CLIP_S) -> NDArray[np.float32]:
    """Mix stretches of recordings at random times, speeds, directions and levels over noise."""
    rng = np.random.default_rng(seed)
    out = np.cumsum(rng.normal(size=round(seconds * SAMPLE_RATE_HZ))).astype(np.float32)
    out = np.diff(out, prepend=0) * 10 ** rng.uniform(-4, -2)
    for _ in range(rng.integers(int(seconds) // 5, int(seconds))):
        sound = recordings[rng.integers(len(recordings))]
        begin = rng.integers(0, max(1, len(sound) - SAMPLE_RATE_HZ // 2))
        piece = sound[begin : begin + int(rng.uniform(0.2, 4) * SAMPLE_RATE_HZ)]
        places = np.arange(0, len(piece) - 1, rng.uniform(0.6, 1.7))
        piece = np.interp(places, np.arange(len(piece)), piece)[:: rng.choice([-1, 1])]
        at = rng.integers(0, len(out) - 1)
        piece = piece[: len(out) - at]
        out[at : at + len(piece)] += (piece * 10 ** rng.uniform(-1.5, 0)).astype(np.float32)
    return np.clip(out, -1, 1).astype(np.float32)


def make_frames(file: Path, minutes: float, seed: int = 0) -> NDArray[np.float32]:
    """Return the frames ``(clips, T, 960)`` of mixtures, from a file if they were made before."""
    if file.is_file():
        made: NDArray[np.float32] = np.load(file, mmap_mode="r")
        return made
    recordings = [load_audio(path) for path in sample_paths()]
    model = load_model("axlstm-tiny")
    clips = max(1, round(60 * minutes / CLIP_S))
    frames = []
    for number in range(clips):
        frames.append(model.embed(mixture(recordings, seed * 1_000_000 + number), SAMPLE_RATE_HZ).frames)
    np.save(file, np.stack(frames))
    return np.load(file, mmap_mode="r")


def pool_windows(frames: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float16]:
    """Pool windows of 0.2 to 2 s that begin anywhere in clips: ``(count, 960)``, no two of the same frames."""
    rng = np.random.default_rng(seed)
    clips, length, size = frames.shape
    widths = np.arange(5, 51)
    choices = rng.choice(clips * (length - 50) * len(widths), count, replace=False)
    out = np.empty((count, size), np.float16)
    clip, rest = np.divmod(choices, (length - 50) * len(widths))
    first, width = np.divmod(rest, len(widths))
    for number in range(clips):
        own = np.flatnonzero(clip == number)
        sums = torch.zeros(length + 1, size, dtype=torch.float64)
        sums[1:] = torch.from_numpy(np.array(frames[number])).double().cumsum(0)
        stop = first[own] + widths[width[own]]
        means = (sums[stop] - sums[first[own]]) / torch.from_numpy(widths[width[own]])[:, None]
        out[own] = means.numpy().astype(np.float16)
    return out

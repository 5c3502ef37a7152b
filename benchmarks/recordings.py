"""Make real sound of any length for benchmarks from the bundled recordings, equal every time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.samples import sample_paths


def endless(seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Yield the recordings at 16 kHz, in an order and with gains (-20 to 0 dB) drawn from ``seed``."""
    sounds = [load_audio(path) for path in sample_paths()]
    rng = np.random.default_rng(seed)
    while True:
        for index in rng.permutation(len(sounds)):
            yield sounds[index] * np.float32(10 ** rng.uniform(-1, 0))


def write_long(path: Path, seconds: float) -> Path:
    """Write a 16 kHz mono file of ``seconds``, piece by piece."""
    left = round(seconds * SAMPLE_RATE_HZ)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1) as file:
        for sound in endless():
            file.write(sound[:left])
            left -= len(sound)
            if left <= 0:
                return path
    raise AssertionError("endless ended")


def write_folder(folder: Path, files: int, seconds: float) -> list[Path]:
    """Write 16 kHz mono flac files of ``seconds`` each."""
    folder.mkdir(parents=True)
    samples = round(seconds * SAMPLE_RATE_HZ)
    sounds, held = endless(), np.empty(0, dtype=np.float32)
    paths = [folder / f"{number:05d}.flac" for number in range(files)]
    for path in paths:
        while len(held) < samples:
            held = np.concatenate([held, next(sounds)])
        soundfile.write(path, held[:samples], SAMPLE_RATE_HZ)
        held = held[samples:]
    return paths

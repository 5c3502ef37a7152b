"""Change a sound, or the way it is computed, in what should not matter, and measure what the embedding does.

Each row compares two embeddings of every recording: cosine, and the largest difference of a number beside the largest
number. The last row puts a click into quiet noise and asks at what time the frames change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.errors import first_line
from axlstm.evaluate.probes.exact import torch_threads
from axlstm.samples import sample_names, sample_path
from benchmarks.invariance_listeners import RATE_HZ, Entry, Listener, NotInstalled, NotOffered, Sound

CD_RATE_HZ = 44_100
_PEAK = 0.25  # so that 12 dB more still lie within -1 and 1
_GAIN = 10 ** (12 / 20)
_ROOM = 0.001  # -60 dBFS
_TOGETHER = 4  # recordings in a batch of the row of orders
_CLICK = 0.1  # one sample; 14 dB above the noise in a window of 25 ms
_CLICK_SECONDS = 4.0
_CLICKS_S = tuple(0.6 + 0.353 * number for number in range(9))  # on no grid of frames

Vectors = NDArray[np.float32]
Pair = tuple[Vectors, Vectors]


@dataclass(frozen=True)
class Recording:
    """A bundled recording, mono, its peak at most -12 dBFS: at 44.1 kHz, and that at 16 kHz."""

    name: str
    cd: Sound
    sound: Sound


def bundled(names: Sequence[str] = ()) -> list[Recording]:
    """Read bundled recordings; all without names."""
    recordings = []
    for name in names or sample_names():
        samples, rate_hz = soundfile.read(sample_path(name), dtype="float32", always_2d=True)
        cd = soxr.resample(samples.mean(axis=1), rate_hz, CD_RATE_HZ, quality="VHQ")
        cd *= min(1.0, _PEAK / np.abs(cd).max())
        recordings.append(Recording(name, cd, soxr.resample(cd, CD_RATE_HZ, RATE_HZ, quality="VHQ")))
    return recordings


@dataclass(frozen=True)
class Trial:
    """An encoder, the recordings, and their embeddings one by one ``(N, D)``."""

    entry: Entry
    listener: Listener
    recordings: list[Recording]
    alone: Vectors

    def each(self, change: Callable[[Sound], Sound]) -> Vectors:
        """Embed changed recordings one by one."""
        return embed_each(self.listener, [change(recording.sound) for recording in self.recordings])


def embed_each(listener: Listener, sounds: Sequence[Sound], rate_hz: int = RATE_HZ) -> Vectors:
    """Embed sounds one by one, ``(N, D)``."""
    return np.concatenate([listener.embed([sound], rate_hz) for sound in sounds])


def _twice(trial: Trial) -> Pair:
    return trial.alone, trial.each(lambda sound: sound)


def _order(trial: Trial) -> Pair:
    sounds = [recording.sound for recording in trial.recordings]
    groups = [sounds[start : start + _TOGETHER] for start in range(0, len(sounds), _TOGETHER)]
    forward = [trial.listener.embed(group) for group in groups]
    backward = [trial.listener.embed(group[::-1])[::-1] for group in groups]
    return np.concatenate(forward), np.concatenate(backward)


def _batch(trial: Trial) -> Pair:
    """Put half as much again, and half a second, of the next recording beside each."""
    sounds = [recording.sound for recording in trial.recordings]
    longer = [np.resize(sounds[i - 1], len(sound) * 3 // 2 + RATE_HZ // 2) for i, sound in enumerate(sounds)]
    pairs = [[sound, other] for sound, other in zip(sounds, longer, strict=True)]
    return trial.alone, np.stack([trial.listener.embed(pair)[0] for pair in pairs])


def _threads(trial: Trial) -> Pair:
    computed = []
    for count in (1, 2):
        with torch_threads(count):
            listener = trial.entry.load("float32")
            computed.append(embed_each(listener, [recording.sound for recording in trial.recordings]))
    return computed[0], computed[1]


def _bfloat16(trial: Trial) -> Pair:
    rounded = trial.entry.load("bfloat16")
    return trial.alone, embed_each(rounded, [recording.sound for recording in trial.recordings])


def _gain(factor: float) -> Callable[[Trial], Pair]:
    return lambda trial: (trial.alone, trial.each(lambda sound: np.float32(factor) * sound))


def _rate(trial: Trial) -> Pair:
    return trial.alone, embed_each(trial.listener, [recording.cd for recording in trial.recordings], CD_RATE_HZ)


def _shift(trial: Trial) -> Pair:
    """Move a recording between two stretches of quiet noise, of which half a hop goes from the end to the beginning."""
    samples = round(trial.listener.hop_s / 2 * RATE_HZ)
    edge = _noise(_ROOM, max(RATE_HZ // 10, samples))

    def between_edges(sound: Sound) -> Sound:
        return np.concatenate([edge, sound, edge])

    early = trial.each(lambda sound: between_edges(sound)[samples:])
    late = trial.each(lambda sound: between_edges(sound)[: len(sound) + 2 * len(edge) - samples])
    return early, late


def _noise(level: float, samples: int) -> Sound:
    return (level * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


def _appended(level: float) -> Callable[[Trial], Pair]:
    noise = _noise(level, RATE_HZ)
    return lambda trial: (trial.alone, trial.each(lambda sound: np.concatenate([sound, noise])))


def _halves(trial: Trial) -> Pair:
    first = trial.each(lambda sound: sound[: len(sound) // 2])
    second = trial.each(lambda sound: sound[len(sound) // 2 :])
    return trial.alone, ((first + second) / 2).astype(np.float32)


ROWS: dict[str, Callable[[Trial], Pair]] = {
    "twice": _twice,
    "order": _order,
    "batch": _batch,
    "threads": _threads,
    "bfloat16": _bfloat16,
    "gain +12 dB": _gain(_GAIN),
    "gain -12 dB": _gain(1 / _GAIN),
    "44.1 kHz": _rate,
    "shift": _shift,
    "silence": _appended(_ROOM),
    "zeros": _appended(0.0),
    "halves": _halves,
}
EXACT = ("twice", "order", "batch", "threads")
"""Rows whose two embeddings are of the same sound by the same arithmetic, so that they should be equal."""


def measure(entry: Entry, recordings: list[Recording]) -> dict[str, Any]:
    """Measure all rows of an encoder.

    Raises:
        NotInstalled: it is not here.
    """
    listener = entry.load("float32")
    alone = embed_each(listener, [recording.sound for recording in recordings])
    trial = Trial(entry, listener, recordings, alone)
    rows = {name: _attempt(partial(_compared, row, trial)) for name, row in ROWS.items()}
    rows["click"] = _attempt(lambda: find_clicks(listener))
    return {
        "version": entry.version(),
        "weights": entry.weights,
        "size": alone.shape[1],
        "hop_s": round(listener.hop_s, 6),
        "other": between(alone),
        "rows": rows,
    }


def _compared(row: Callable[[Trial], Pair], trial: Trial) -> dict[str, Any]:
    return compare(*row(trial), [recording.name for recording in trial.recordings])


def _attempt(row: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a row, or why there is none: a foreign encoder may fail in any way, and the others are still asked."""
    try:
        return row()
    except NotOffered as reason:
        return {"not offered": str(reason)}
    except NotInstalled:
        raise
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {first_line(error)}"}


def compare(one: Vectors, other: Vectors, names: Sequence[str]) -> dict[str, Any]:
    """Compare embeddings ``(N, D)`` of the same recordings."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return {"failed": "embeddings that are not finite"}
    cosines = cosine(one, other)
    scale = np.maximum(np.abs(one).max(axis=1), np.finfo(np.float32).tiny)
    differences = np.abs(one - other).max(axis=1) / scale
    return {
        "cosine": {"worst": float(cosines.min()), "median": float(np.median(cosines))},
        "difference": {"worst": float(differences.max()), "median": float(np.median(differences))},
        "worst": names[int(cosines.argmin())],
    }


def cosine(one: Vectors, other: Vectors) -> NDArray[np.float64]:
    """Compute the cosines of the rows of two matrices, in float64; 0 beside a vector of zeros."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)


def between(vectors: Vectors) -> dict[str, float]:
    """Describe the cosines of different recordings, beside which those of the rows are read."""
    first, second = np.triu_indices(len(vectors), k=1)
    cosines = cosine(vectors[first], vectors[second])
    return {"median": float(np.median(cosines)), "highest": float(cosines.max())}


def find_clicks(listener: Listener) -> dict[str, Any]:
    """Put a click at some moments into quiet noise, and find the frames that change at least half as much as any.

    Returns:
        The largest and median distance of their mean time from the click's, the median with its sign, and how long
        they are together, all in seconds.
    """
    noise = _noise(_ROOM, round(_CLICK_SECONDS * RATE_HZ))
    quiet = listener.frames(noise)
    errors, widths = [], []
    for moment_s in _CLICKS_S:
        sound = noise.copy()
        at = round(moment_s * RATE_HZ)
        sound[at] = _CLICK
        change = np.linalg.norm(listener.frames(sound).values - quiet.values, axis=1)  # (T,)
        changed = change >= change.max() / 2
        errors.append(float(quiet.times_s[changed].mean()) - at / RATE_HZ)
        widths.append(float(changed.sum()) * listener.hop_s)
    return {
        "error_s": {
            "worst": float(np.abs(errors).max()),
            "median": float(np.median(np.abs(errors))),
            "signed": float(np.median(errors)),
        },
        "width_s": float(np.median(widths)),
    }

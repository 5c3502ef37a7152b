"""Compare a stream's embeddings with those of the whole clip, for each hop and time constant; its latency and cost.

python -m benchmarks stream [--model axlstm-tiny]
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import axlstm
from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.embed.embedder import Embedder
from axlstm.samples import sample_paths
from benchmarks.machine import describe_machine
from benchmarks.recordings import endless
from benchmarks.report import save

SETTINGS = ((2000, None), (2000, 60.0), (2000, 10.0), (1000, None), (1000, 60.0), (1000, 10.0), (400, 60.0))
LONG_SECONDS = 120


def stream(model: str = "axlstm-tiny") -> int:
    """Stream the bundled recordings, each alone and two minutes of them one after another with changing gains.

    A hop of a whole window (2000 ms) has the windows of `embed`: there, only the normalisation differs.

    Args:
        model: what `axlstm.load_model` takes. Of random weights, the frames of all sounds are similar; the cosine
            is therefore also given with the mean frame of all sounds taken off.
    """
    embedder = axlstm.load_model(model)
    clips = [load_audio(path) for path in sample_paths()]
    sounds, long = endless(), np.empty(0, dtype=np.float32)
    while len(long) < LONG_SECONDS * SAMPLE_RATE_HZ:
        long = np.concatenate([long, next(sounds)])
    rows: list[dict[str, Any]] = []
    print("cosine to embed, mean and 5 % quantile over the frames; the same with the mean frame taken off")
    print(f"{'hop':>7} {'constant':>9} {'sound':>10}")
    for hop_ms, time_constant_s in SETTINGS:
        for name, group in (("recordings", clips), (f"{LONG_SECONDS} s", [long[: LONG_SECONDS * SAMPLE_RATE_HZ]])):
            whole = np.concatenate([embedder.embed(clip, SAMPLE_RATE_HZ).frames for clip in group])
            streamed = np.concatenate([_streamed(embedder, clip, hop_ms, time_constant_s) for clip in group])
            plain, off = _cosines(whole, streamed), _cosines(whole - whole.mean(0), streamed - whole.mean(0))
            figures = [float(value) for one in (plain, off) for value in (one.mean(), np.quantile(one, 0.05))]
            rows.append({"hop_ms": hop_ms, "time_constant_s": time_constant_s, "sound": name, "cosine": figures})
            constant = "none" if time_constant_s is None else f"{time_constant_s:g} s"
            print(f"{hop_ms:4} ms {constant:>9} {name:>10}  {' '.join(f'{figure:.4f}' for figure in figures)}")
    costs = []
    for rate_hz, hop_ms in ((16_000, 2000), (16_000, 1000), (16_000, 400), (48_000, 1000)):
        live = embedder.stream(rate_hz, hop_ms=hop_ms)
        second = np.zeros(rate_hz, dtype=np.float32)
        begin = time.process_time()
        for _ in range(20):
            live.push(second)
        cpu_ms = 1000 * (time.process_time() - begin) / 20
        latency = live.latency
        costs.append({"rate_hz": rate_hz, "cpu_ms_per_second": cpu_ms, **vars(latency)})
        print(
            f"{rate_hz} Hz, hop {hop_ms} ms: first after {latency.first_ms:.1f} ms, algorithmic "
            f"{latency.algorithmic_ms:.1f} ms, computing {latency.compute_ms:.1f} ms a window, "
            f"{cpu_ms:.0f} ms of processor for each second"
        )
    save(
        "stream",
        {"machine": describe_machine(), "model": embedder.name, "trained": embedder.trained}
        | {"cosines": rows, "costs": costs},
    )
    return 0


def _streamed(
    embedder: Embedder, clip: NDArray[np.float32], hop_ms: float, time_constant_s: float | None
) -> NDArray[np.float32]:
    live = embedder.stream(SAMPLE_RATE_HZ, hop_ms=hop_ms, time_constant_s=time_constant_s)
    return np.stack([one.embedding for one in live.over([clip])])


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each row of ``(T, F)`` with its counterpart."""
    cosines: NDArray[np.float32] = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return cosines

"""A folder of two-second files to a file of embeddings, decoding included: the released algorithm and ours.

python -m benchmarks folder [--files 500] [--rounds 3] [--model axlstm-tiny]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import torch

import axlstm
from axlstm.batch import embed_files
from axlstm.embedder import Embedder
from axlstm.store import read_records
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import save

BARS = {"ours, fp32": 5.0, "ours, bf16": 10.0}


def folder(files: int = 500, seconds: float = 2.0, rounds: int = 3, model: str = "axlstm-tiny") -> int:
    """Embed the folder with every competitor in turn.

    The released algorithm reads a file, computes the log-mel and encodes one window at a time, a second window of
    padding included, and keeps the scene embeddings in memory. Ours is what `axlstm embed` calls, output and all.

    Args:
        files: how many.
        seconds: length of each.
        rounds: times each competitor runs, after a short run that does not count.
        model: name of a size; the weights are random, which does not change the time.
    """
    released = ReleasedEmbedder(axlstm.create_model(model))
    competitors: dict[str, Callable[[list[Path], Path], object]] = {
        "released, eager fp32": lambda paths, _: [scene(released, path) for path in paths],
        "ours, fp32": _ours(axlstm.create_model(model)),
        "ours, bf16": _ours(axlstm.create_model(model, dtype="bfloat16")),
    }
    wall: dict[str, list[float]] = {name: [] for name in competitors}
    cpu: dict[str, list[float]] = {name: [] for name in competitors}
    with tempfile.TemporaryDirectory() as temporary:
        paths = write_folder(Path(temporary, "sounds"), files, seconds)
        for turn in range(-1, rounds):
            for number, (name, run) in enumerate(competitors.items()):
                begin_wall, begin_cpu = time.perf_counter(), time.process_time()
                run(paths if turn >= 0 else paths[:8], Path(temporary, f"{turn}-{number}.parquet"))
                if turn >= 0:
                    wall[name].append(time.perf_counter() - begin_wall)
                    cpu[name].append(time.process_time() - begin_cpu)
        exact = [record.scene for record in read_records(Path(temporary, "0-1.parquet")) if record.scene is not None]
        half = [record.scene for record in read_records(Path(temporary, "0-2.parquet")) if record.scene is not None]
    rows: list[dict[str, Any]] = []
    print(f"{'competitor':22} {'files/s':>8} {'CPU s':>7}  ratio to released (lowest .. highest), of CPU time; bar")
    for name in competitors:
        ratios = sorted(slow / fast for slow, fast in zip(wall["released, eager fp32"], wall[name], strict=True))
        cpu_ratio = median(cpu["released, eager fp32"]) / median(cpu[name])
        rows.append(
            {
                "competitor": name,
                "files_per_s": files / median(wall[name]),
                "ratio": [ratios[0], median(ratios), ratios[-1]],
                "cpu_ratio": cpu_ratio,
                "bar": BARS.get(name),
                "seconds": wall[name],
                "cpu_seconds": cpu[name],
            }
        )
        bar = f">= {BARS[name]:g}" if name in BARS else ""
        print(
            f"{name:22} {files / median(wall[name]):8.1f} {median(cpu[name]):7.1f}  "
            f"{median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f}), {cpu_ratio:.2f}; {bar}"
        )
    cosine = min(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(exact, half, strict=True))
    print(f"cosine of bf16 to fp32, lowest of all files: {cosine:.6f}")
    result = {"model": model, "files": files, "file_seconds": seconds, "bf16_cosine": cosine, "rows": rows}
    save("folder", {"machine": describe_machine(), **result})
    return 0


def scene(released: ReleasedEmbedder, path: Path) -> torch.Tensor:
    """Scene embedding ``(F,)`` of one file."""
    samples, _ = soundfile.read(path, dtype="float32")
    return released.embed(torch.from_numpy(samples)).mean(dim=0)


def _ours(embedder: Embedder) -> Callable[[list[Path], Path], object]:
    return lambda paths, out: embed_files(embedder, paths, out)

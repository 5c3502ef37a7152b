"""Time a folder of two-second files to a file of embeddings, decoding included: the released algorithm and ours.

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
from numpy.typing import NDArray

import axlstm
from axlstm.embed.embedder import Embedder
from axlstm.options import EngineName, Precision
from axlstm.store.batch import embed_files
from axlstm.store.formats import read_records
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import save

RELEASED = "released, eager float32"
WAYS: tuple[tuple[EngineName | None, Precision], ...] = (
    (None, "float32"),
    ("processes", "float32"),
    ("auto", "float32"),
    ("processes", "bfloat16"),
    ("auto", "bfloat16"),
)
BARS = {"auto, float32": 8.0, "auto, bfloat16": 12.0}


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
        RELEASED: lambda paths, _: [scene(released, path) for path in paths]
    }
    for engine, dtype in WAYS:
        competitors[f"{engine or 'threads'}, {dtype}"] = _ours(axlstm.create_model(model, engine=engine, dtype=dtype))
    wall: dict[str, list[float]] = {name: [] for name in competitors}
    scenes: dict[str, list[NDArray[np.float32]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        paths = write_folder(Path(temporary, "sounds"), files, seconds)
        for turn in range(-1, rounds):
            for number, (name, run) in enumerate(competitors.items()):
                out = Path(temporary, f"{turn}-{number}.parquet")
                begin = time.perf_counter()
                run(paths if turn >= 0 else paths[:32], out)
                if turn >= 0:
                    wall[name].append(time.perf_counter() - begin)
                if out.exists():
                    scenes[name] = [record.scene for record in read_records(out) if record.scene is not None]
    rows: list[dict[str, Any]] = []
    print(f"{'competitor':22} {'files/s':>8}  ratio to released (lowest .. highest); bar; lowest cosine to float32")
    for name in competitors:
        ratios = sorted(slow / fast for slow, fast in zip(wall[RELEASED], wall[name], strict=True))
        likeness = None if name == RELEASED else _lowest_cosine(scenes["threads, float32"], scenes[name])
        rows.append(
            {
                "competitor": name,
                "files_per_s": files / median(wall[name]),
                "ratio": [ratios[0], median(ratios), ratios[-1]],
                "bar": BARS.get(name),
                "cosine": likeness,
                "seconds": wall[name],
            }
        )
        bar = f">= {BARS[name]:g}" if name in BARS else "-"
        print(
            f"{name:22} {files / median(wall[name]):8.1f}  {median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f}); "
            f"{bar}; {'-' if likeness is None else f'{likeness:.5f}'}"
        )
    result = {"model": model, "files": files, "file_seconds": seconds, "rows": rows}
    save("folder", {"machine": describe_machine(), **result}, True)
    return 0


def _lowest_cosine(exact: list[NDArray[np.float32]], other: list[NDArray[np.float32]]) -> float:
    return min(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(exact, other, strict=True))


def scene(released: ReleasedEmbedder, path: Path) -> torch.Tensor:
    """Return the scene embedding ``(F,)`` of one file."""
    samples, _ = soundfile.read(path, dtype="float32")
    return released.embed(torch.from_numpy(samples)).mean(dim=0)


def _ours(embedder: Embedder) -> Callable[[list[Path], Path], object]:
    return lambda paths, out: embed_files(embedder, paths, out)

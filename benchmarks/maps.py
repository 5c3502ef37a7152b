"""Compare maps of windows: neighbours that are kept, beside seconds and the megabytes that each way installs.

    python -m benchmarks maps                                            # windows of mixtures of the bundled recordings
    python -m benchmarks maps --collections A.collection B.collection    # and those of collections

A neighbour is one of the 15 windows with the highest cosine of standardised vectors. *Kept* is the share of them that
are among the 15 nearest of the map; trustworthiness (Venna and Kaski, 2001) counts what is near in the map and is not
near in truth. Both are of windows that are drawn at random. The other ways are umap-learn, PaCMAP and scikit-learn's
t-SNE, with their defaults and one thread; they are left out if they are not installed.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.collection.collection import open as open_collection
from axlstm.collection.maps.draw import NEIGHBOURS, place_vectors
from axlstm.collection.maps.neighbours import SAMPLE, find_axes
from benchmarks.machine import describe_machine
from benchmarks.made_windows import make_frames, pool_windows
from benchmarks.report import save

_ASKED = 500  # windows that maps are judged by
_PACKAGES = {
    "ours": (),
    "principal components": (),
    "umap-learn": ("umap-learn", "pynndescent", "numba", "llvmlite"),
    "pacmap": ("pacmap", "numba", "llvmlite", "faiss-cpu"),
    "scikit-learn": ("scikit-learn", "scipy", "joblib", "threadpoolctl"),
}

Vectors = NDArray[np.float32]
Way = Callable[[Vectors, torch.Tensor], NDArray[np.floating]]


def maps(
    windows: tuple[int, ...] = (2000, 20_000),
    collections: tuple[Path, ...] = (),
    ways: tuple[str, ...] = tuple(_PACKAGES),
    minutes: float = 20.0,
    folder: Path | None = None,
    name: str = "maps",
) -> int:
    """Draw maps in several ways and judge them.

    Args:
        windows: numbers of made windows.
        collections: whose windows are drawn too, of each encoder.
        ways: to draw; names as in the table.
        minutes: of mixtures, which the model is run on first.
        folder: keeps the frames for the next run.
        name: of the result.
    """
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for title, vectors in _all_vectors(windows, collections, minutes, folder or Path(temporary)):
            unit = _standardise(vectors)
            projected = torch.from_numpy(unit) @ find_axes([unit[:: max(1, len(unit) // SAMPLE)]])
            for way in ways:
                rows.append({"windows": title, **_measure(way, unit, projected)})
                print(json.dumps(rows[-1]), flush=True)
    save(name, {"machine": describe_machine(), "neighbours": NEIGHBOURS, "asked": _ASKED, "rows": rows})
    return 0


def _all_vectors(
    windows: tuple[int, ...], collections: tuple[Path, ...], minutes: float, folder: Path
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    for path in collections:
        with open_collection(path) as collection:
            for entry in collection.encoders():
                vectors = np.concatenate([rows.vectors for rows in collection.rows(entry)])
                yield f"{path.stem}, {entry.name}, {len(vectors)}", vectors
    if windows:
        folder.mkdir(parents=True, exist_ok=True)
        frames = make_frames(folder / "frames.npy", minutes)
        for count in windows:
            yield f"made, axlstm-tiny, {count}", pool_windows(frames, count, seed=0)


def _standardise(vectors: NDArray[np.float16]) -> Vectors:
    """Standardise vectors ``(n, D)``, and scale them to length 1."""
    unit = vectors.astype(np.float32)
    unit -= unit.mean(axis=0)
    unit /= np.maximum(unit.std(axis=0), 1e-6)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    return unit


def _measure(way: str, unit: Vectors, projected: torch.Tensor) -> dict[str, Any]:
    megabytes = _megabytes(way)
    if megabytes is None:
        return {"way": way, "skipped": "not installed"}
    began, used = time.perf_counter(), time.process_time()
    places = _WAYS[way](unit, projected)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    kept, trustworthiness = judge(unit, places.astype(np.float32))
    timed = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "megabytes": megabytes}
    return {"way": way, "kept": round(kept, 3), "trustworthiness": round(trustworthiness, 4), **timed}


def judge(unit: Vectors, places: NDArray[np.float32], count: int = NEIGHBOURS) -> tuple[float, float]:
    """Return the share of neighbours that are kept, and the trustworthiness, over windows that are drawn."""
    total = len(unit)
    asked = np.random.default_rng(0).choice(total, min(total, _ASKED), replace=False)
    kept, intruded = [], []
    for one in asked:
        likeness = unit @ unit[one]
        likeness[one] = -2
        near = np.argpartition(-likeness, count)[:count]
        distances = ((places - places[one]) ** 2).sum(axis=1)
        distances[one] = np.inf
        seen = np.argpartition(distances, count)[:count]
        kept.append(len(np.intersect1d(near, seen)) / count)
        ranks = (likeness[:, None] > likeness[seen]).sum(axis=0) + 1
        intruded.append(np.maximum(ranks - count, 0).sum())
    share = 2 / (count * (2 * total - 3 * count - 1)) * float(np.mean(intruded))
    return float(np.mean(kept)), 1 - share


def _megabytes(way: str) -> float | None:
    """Count what a way installs beyond what the package needs anyhow; None if it is not installed."""
    total = 0
    for package in _PACKAGES[way]:
        try:
            files = distribution(package).files or []
        except PackageNotFoundError:
            return None
        total += sum(file.size or 0 for file in files)
    return round(total / 1e6, 1)


def _umap(unit: Vectors, _: torch.Tensor) -> NDArray[np.floating]:
    import umap  # type: ignore[import-not-found, import-untyped, unused-ignore]

    places: NDArray[np.floating] = umap.UMAP(metric="cosine", n_jobs=1, random_state=0).fit_transform(unit)
    return places


def _pacmap(unit: Vectors, _: torch.Tensor) -> NDArray[np.floating]:
    import pacmap  # type: ignore[import-not-found, import-untyped, unused-ignore]

    places: NDArray[np.floating] = pacmap.PaCMAP(random_state=0).fit_transform(unit)
    return places


def _sklearn(_: Vectors, projected: torch.Tensor) -> NDArray[np.floating]:
    from sklearn.manifold import TSNE

    places: NDArray[np.floating] = TSNE(random_state=0, n_jobs=1).fit_transform(projected.numpy())
    return places


_WAYS: Mapping[str, Way] = {
    "ours": lambda _, projected: place_vectors(projected).numpy(),
    "principal components": lambda _, projected: projected[:, :2].numpy(),
    "umap-learn": _umap,
    "pacmap": _pacmap,
    "scikit-learn": _sklearn,
}

"""The main job on the recordings that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.batch import embed_files
from axlstm.embedder import Embedder
from axlstm.plots import plot_clip
from axlstm.samples import sample_paths
from axlstm.store import read_records


def nearest_neighbours(scenes: NDArray[np.float32], count: int = 3) -> list[list[tuple[int, float]]]:
    """For each row of ``(N, F)`` the ``count`` others that are nearest, with their cosine.

    The mean over all rows is taken off first: what all clips share says nothing about any of them.
    """
    centred = scenes - scenes.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
    return [[(int(other), float(cosine[row, other])) for other in order[row]] for row in range(len(scenes))]


def run_demo(embedder: Embedder, folder: Path) -> list[str]:
    """Embed the sample recordings into ``folder/samples.parquet``, draw each, list neighbours as lines of text."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sample_paths()
    out = folder / "samples.parquet"
    out.unlink(missing_ok=True)
    embed_files(embedder, files, out, frames=True)
    records = list(read_records(out))
    names = [Path(record.path).stem for record in records]
    scenes = np.stack([record.scene for record in records if record.scene is not None])
    for file in files:
        plot_clip(embedder, file, folder / f"{file.stem}.png")
    return [
        f"{names[row]:24} {', '.join(f'{names[other]} ({cosine:.2f})' for other, cosine in nearest)}"
        for row, nearest in enumerate(nearest_neighbours(scenes))
    ]

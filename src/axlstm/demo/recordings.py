"""Embed the recordings that come with the package, draw them, and find their neighbours."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.embed.embedder import Embedder
from axlstm.evaluate.pipeline import OnProgress
from axlstm.samples import Sample, sample_path, samples
from axlstm.show.figures import png_bytes
from axlstm.show.plots import cosine_similarity, frames_figure
from axlstm.store.batch import embed_files
from axlstm.store.formats import read_records


@dataclass(frozen=True)
class Recording:
    """One recording as the page shows it; neighbours are the nearest others with their cosine."""

    sample: Sample
    path: Path
    duration_s: float
    picture: bytes  # PNG
    neighbours: list[tuple[Sample, float]]


def embed_recordings(embedder: Embedder, out: Path, on_progress: OnProgress) -> list[Recording]:
    """Embed all recordings into the file ``out``, draw each, find the neighbours of each."""
    recorded = sorted(samples(), key=lambda sample: sample.name)
    paths = [sample_path(sample.name) for sample in recorded]
    done = itertools.count()

    def advance(_: float = 1.0) -> None:
        on_progress("embed the recordings", next(done), 2 * len(recorded))

    advance()
    embed_files(embedder, paths, out, frames=True, progress=advance)
    by_path = {record.path: record for record in read_records(out)}
    records = [by_path[str(path)] for path in paths]
    nearest = nearest_neighbours(np.stack([record.scene for record in records if record.scene is not None]))
    recordings = []
    for sample, path, record, near in zip(recorded, paths, records, nearest, strict=True):
        assert record.frames is not None  # asked for above
        drawn = png_bytes(frames_figure(embedder, load_audio(path), record.frames))
        neighbours = [(recorded[other], cosine) for other, cosine in near]
        recordings.append(Recording(sample, path, record.duration_s, drawn, neighbours))
        advance()
    return recordings


def nearest_neighbours(scenes: NDArray[np.float32], count: int = 3) -> list[list[tuple[int, float]]]:
    """Find for each row of ``(N, F)`` the ``count`` nearest others, with their cosine.

    The mean over all rows is taken off first: what all clips share says nothing about any of them.
    """
    cosine = cosine_similarity(scenes)
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
    return [[(int(other), float(cosine[row, other])) for other in order[row]] for row in range(len(scenes))]

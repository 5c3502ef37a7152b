"""Find where in a hit the sound of the query is, by the encoder's frames of 40 ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.encoders import EmbedderWindows
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.recordings import current_place
from axlstm.collection.search.hits import Hit, Place
from axlstm.collection.search.query import Sound
from axlstm.collection.search.searcher import Searcher
from axlstm.collection.stretches import Stretch, read_stretch
from axlstm.embed.embedder import Embedder
from axlstm.errors import AudioError, ConfigError

MOST_SOUNDS = 16
"""Examples of a query whose frames are compared; of more, these are evenly spread."""

MOST_S = 60.0
"""Length of an example whose frames are compared."""


def locate(
    collection: CollectionFolder, searcher: Searcher, sounds: Sequence[Sound], hits: Sequence[Hit]
) -> tuple[list[Hit], list[str]]:
    """Add to each hit where in it the sound is that the query is most like.

    The hit is embedded again by itself. Frames are compared by the cosine of what they differ by from the hit's mean
    frame, in deviations of the collection's windows: what fills all of the hit tells no place. Of all stretches of the
    query's length, and of at most half of the hit, the one is taken whose frames are most like the query's mean frame.

    Args:
        sounds: of what is wanted.

    Returns:
        the hits, and why some of them were not located: their recordings cannot be read or have changed.

    Raises:
        ConfigError: an encoder without frames, or an example longer than a minute.
        AudioError, FileNotFoundError: an example that cannot be read.
    """
    encoder = searcher.encoder
    if not isinstance(encoder, EmbedderWindows):
        raise ConfigError(f"{searcher.entry.name}: only axlstm's own models have the frames that within compares")
    embedder = encoder.embedder
    size = embedder.timestamp_embedding_size
    deviation = searcher.table.statistics.deviation[:size]
    query, seconds = _mean_frames(embedder, sounds)
    located, notes = [], []
    for rank, hit in enumerate(hits, start=1):
        try:
            place = _locate(embedder, deviation, current_place(collection, hit.recording), hit, query, seconds)
            located.append(replace(hit, within=place))
        except (AudioError, OSError) as error:
            located.append(hit)
            notes.append(f"hit {rank} is not located: {error}")
    return located, notes


def _mean_frames(embedder: Embedder, sounds: Sequence[Sound]) -> tuple[NDArray[np.float64], float]:
    """Return the mean frame of each example ``(n, F)``, and the mean of their lengths in seconds."""
    chosen = [sounds[index] for index in np.unique(np.linspace(0, len(sounds) - 1, MOST_SOUNDS).round().astype(int))]
    means, lengths = [], []
    for path, stretch in chosen:
        samples, rate = read_stretch(path, stretch)
        lengths.append(len(samples) / rate)
        if lengths[-1] > MOST_S:
            raise ConfigError(
                f"{path}: {lengths[-1]:.0f} s; to find where in a hit the query is, give a stretch of at most "
                f"{MOST_S:g} s, such as {path.name}@1.5-3.0"
            )
        means.append(embedder.embed(samples, rate).frames.mean(axis=0, dtype=np.float64))
    return np.array(means), float(np.mean(lengths))


def _locate(
    embedder: Embedder, deviation: NDArray[np.float64], path: Path, hit: Hit, query: NDArray[np.float64], seconds: float
) -> Place:
    samples, rate = read_stretch(path, Stretch(hit.start_s, hit.end_s))
    frames = embedder.embed(samples, rate).frames.astype(np.float64)  # (T, F)
    frame_s = len(samples) / rate / len(frames)
    count = min(max(1, round(min(seconds, (hit.end_s - hit.start_s) / 2) / frame_s)), len(frames))
    mean = frames.mean(axis=0)
    direction = _unit((query - mean) / deviation).mean(axis=0)
    first, score = best_run(_unit((frames - mean) / deviation) @ _unit(direction), count)
    start_s = hit.start_s + first * frame_s
    return Place(start_s, min(hit.end_s, start_s + count * frame_s), score)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale vectors ``(..., F)`` to length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def best_run(scores: NDArray[np.float64], count: int) -> tuple[int, float]:
    """Find the run of so many scores ``(T,)`` whose mean is highest: its first index, and the mean."""
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    means = (sums[count:] - sums[:-count]) / count
    first = int(np.argmax(means))
    return first, float(means[first])

"""Search as its definition reads: one window at a time, in float64."""

from __future__ import annotations

import numpy as np

from axlstm.collection.collection import Collection
from axlstm.collection.search.query import UNLIKE_WEIGHT, Query
from axlstm.collection.search.thin import Spacing
from axlstm.collection.stretches import split_stretch

Window = tuple[str, float, float, np.ndarray]


def slow_search(collection: Collection, query: Query, count: int, spacing: Spacing) -> list[tuple[str, float, float]]:
    """Path, start and score of the hits of a query by recordings of the collection."""
    entry = collection.encoder()
    windows: list[Window] = []
    for row in collection.tables.execute("SELECT id, path FROM recordings WHERE removed_at IS NULL").fetchall():
        rows = collection.windows(entry, row["id"])
        if rows is not None:
            windows += [
                (row["path"], *bounds, v.astype(np.float64))
                for *bounds, v in zip(rows.start_s, rows.end_s, rows.vectors, strict=True)
            ]
    everything = np.array([vector for *_, vector in windows])
    mean, deviation = everything.mean(axis=0), everything.std(axis=0)

    def unit(vector: np.ndarray) -> np.ndarray:
        standard = (vector - mean) / deviation
        return standard / np.sqrt((standard**2).sum())

    def example(text: str) -> tuple[list[np.ndarray], list[Window]]:
        path, stretch = split_stretch(text)
        own = [window for window in windows if window[0] == path]
        if stretch.begin_s is not None:
            own = [
                one
                for one in own
                if overlap(one[1], one[2], *stretch) > min(one[2] - one[1], stretch.end_s - stretch.begin_s) / 2
            ]
        return [unit(one[3]) for one in own], own

    def overlap(start: float, end: float, begin: float, stop: float) -> float:
        return min(end, stop) - max(start, begin)

    like, unlike = ([example(text) for text in texts] for texts in (query.like, query.unlike))

    def score(vector: np.ndarray) -> float:
        own = unit(vector)
        if query.combine == "max":
            best = max(own @ one for sound, _ in like for one in sound)
            worst = max((own @ one for sound, _ in unlike for one in sound), default=0.0)
            return float(best - UNLIKE_WEIGHT * max(worst, 0.0))
        direction = np.mean([np.mean(sound, axis=0) for sound, _ in like], axis=0)
        if unlike:
            direction = direction - UNLIKE_WEIGHT * np.mean([np.mean(sound, axis=0) for sound, _ in unlike], axis=0)
        return float(own @ direction / np.sqrt(direction @ direction))

    def is_query(window: Window) -> bool:
        for text in query.like + query.unlike:
            path, stretch = split_stretch(text)
            if window[0] == path and (stretch.begin_s is None or overlap(window[1], window[2], *stretch) > 0):
                return True
        return False

    ranked = sorted(((score(one[3]), one) for one in windows if not is_query(one)), key=lambda pair: -pair[0])
    chosen: list[tuple[float, Window]] = []
    for value, (path, start, end, vector) in ranked:
        beside = [one for _, one in chosen if one[0] == path]
        if spacing.one_per_recording:
            fits = not beside
        elif spacing.apart_s is not None:
            fits = all(abs(start + end - other[1] - other[2]) / 2 >= spacing.apart_s for other in beside)
        else:
            fits = all(overlap(start, end, other[1], other[2]) <= 0 for other in beside)
        if fits:
            chosen.append((value, (path, start, end, vector)))
    return [(window[0], window[1], value) for value, window in chosen[:count]]

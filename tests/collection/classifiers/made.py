"""Collections with labels, whose vectors are made up, for tests of classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from axlstm.collection.collection import Collection
from axlstm.collection.labels.table import Label, add_labels
from tests.collection.vectors import HOP_S, WINDOW_S, add_part, add_recording, make_collection

SIZE = 12
WINDOWS = 10  # of a recording


def make_birds(folder: Path, recordings: int = 24, sites: int = 4, seed: int = 0, distance: float = 2.5) -> Collection:
    """Recordings of ten windows; in the latter half of each there is a wren, which two values of a vector tell.

    Windows 0 and 1 have a robin, which another value tells. Nothing is labelled.
    """
    collection = make_collection(folder / "birds.collection", folder / "sounds", size=SIZE)
    rng = np.random.default_rng(seed)
    vectors = {}
    for number in range(recordings):
        duration_s = (WINDOWS - 1) * HOP_S + WINDOW_S
        values = rng.normal(size=(WINDOWS, SIZE))
        values[6:, :2] += distance
        values[:2, 2] += 2 * distance
        site = f"s{number % sites}"
        at = f"2024-05-{1 + number % 3:02d}T04:00:00"
        vectors[add_recording(collection, f"{number:02d}.wav", duration_s, at, {"site": site})] = values
    add_part(collection, collection.encoder(), vectors)
    return collection


def label_birds(collection: Collection, recordings: int = 24, robins: bool = True) -> None:
    """Say where the wren is heard and where not, and the robin, in the first recordings."""
    entries = []
    for number in range(1, recordings + 1):
        entries += [Label(number, 6, 11, "wren"), Label(number, 0, 6, "wren", "no")]
        entries += [Label(number, 0, 3, "robin"), Label(number, 4, 11, "robin", "no")] if robins else []
    add_labels(collection, [(entry, "me", "test") for entry in entries])

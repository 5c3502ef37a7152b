"""Search what `axlstm embed` wrote for many recordings: a folder of parts, or a LanceDB table of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.search.hits import Hit, Hits
from axlstm.collection.search.query import UNLIKE_WEIGHT
from axlstm.collection.search.run import MOST_HITS
from axlstm.collection.search.searcher import cut_sound
from axlstm.collection.stretches import Stretch, check_inside, hint_stretch, split_stretch
from axlstm.embed.embedder import Embedder
from axlstm.errors import ConfigError, DataError
from axlstm.files import is_file
from axlstm.hub import load_model
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import read_plan
from axlstm.store.lance import LanceTable, is_lance, open_lance
from axlstm.store.records import StoreSettings
from axlstm.store.vectors import Standard, VectorSet

_ASKED = 4  # times as many rows as hits: others overlap better ones
Row = tuple[str, float, float, float]
"""Path, start_s, end_s and cosine."""


class Searched(Protocol):
    """Rows that can be searched: of a LanceDB table, or of a folder of parts."""

    settings: StoreSettings
    standard: Standard

    @property
    def source(self) -> Mapping[str, Any]:
        """Return what `axlstm.load_model` is to be called with."""

    @property
    def rows(self) -> int:
        """Count the rows."""

    @property
    def is_indexed(self) -> bool:
        """Tell whether an index is asked, and not every row compared."""

    def of_recording(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of a recording: path, start_s, end_s, and the standardised vector."""

    def nearest(self, direction: NDArray[np.float64], count: int, is_exact: bool) -> list[Row]:
        """Return the rows nearest to a direction ``(D,)``, the best one first."""


class _Parts:
    """Compares every row of a folder of parts."""

    is_indexed = False

    def __init__(self, vectors: VectorSet) -> None:
        self.vectors, self.settings, self.source = vectors, vectors.settings, vectors.source
        self.standard = vectors.measure()

    @property
    def rows(self) -> int:
        return sum(len(block.paths) for block in self.vectors.blocks())

    def of_recording(self, path: str) -> list[dict[str, Any]]:
        found = []
        for block in self.vectors.blocks():
            for row in [row for row, name in enumerate(block.paths) if name == path]:
                vector = self.standard.apply(block.vectors[row])
                found.append({"path": path, "start_s": block.start_s[row], "end_s": block.end_s[row], "vector": vector})
        return found

    def nearest(self, direction: NDArray[np.float64], count: int, is_exact: bool) -> list[Row]:
        del is_exact  # it always is
        best: list[Row] = []
        for block in self.vectors.blocks():
            standard = self.standard.apply(block.vectors)  # (n, D)
            norms = np.maximum(np.linalg.norm(standard, axis=1), 1e-12)
            cosines = standard @ direction / norms / np.linalg.norm(direction)
            for row in np.argsort(-cosines, kind="stable")[:count].tolist():
                place = float(block.start_s[row]), float(block.end_s[row])
                best.append((block.paths[row], *place, float(cosines[row])))
            best = sorted(best, key=lambda one: -one[3])[:count]
        return best


def is_dataset(place: str) -> bool:
    """Tell whether there is a folder of parts, or a LanceDB table of them."""
    return is_lance(place) or read_plan(open_folder(place)) is not None


def open_searched(place: str) -> Searched:
    """Open a folder of parts, or a LanceDB table of them.

    Raises:
        ConfigError: neither, one that is not complete, or without vectors.
        StoreError: the store fails.
    """
    if is_lance(place):
        table: LanceTable = open_lance(place)
        return table
    folder = open_folder(place)
    plan = read_plan(folder)
    if plan is None:
        raise ConfigError(f"{place}: expected a folder that axlstm embed wrote, or a LanceDB table of it")
    return _Parts(VectorSet(folder, plan))


def search_dataset(
    place: str, queries: Sequence[str], unlike: Sequence[str] = (), count: int = 50, exact: bool = False
) -> Hits:
    """Find the rows that are most like the mean of some examples.

    Rows that overlap a better hit of their recording, or an example, are no hits.

    Args:
        place: of a folder of parts, or of a LanceDB table of them: a path or a URL.
        queries, unlike: sound files, or paths of recordings as the rows have them, with ``@1.5-3.0`` behind for a
            stretch in seconds.
        count: of hits, at most.
        exact: compare every row, also where there is an index.

    Raises:
        ConfigError: nothing to search for, a count below 1, or as `open_searched`.
        AudioError, DataError: an example that cannot be read, or is not there.
    """
    if not queries:
        raise ConfigError("nothing to search for: give a sound, or the path of a recording")
    if not 1 <= count <= MOST_HITS:
        raise ConfigError(f"{count} hits: expected 1 to {MOST_HITS}")
    searched = open_searched(place)
    examples = _Examples(searched, place)
    direction = np.mean([examples.direction(text) for text in queries], axis=0)
    if unlike:
        direction = direction - UNLIKE_WEIGHT * np.mean([examples.direction(text) for text in unlike], axis=0)
    if np.linalg.norm(direction) < 1e-6:
        raise DataError("the examples of the query cancel out: what is wanted and what is not are the same")
    rows, asked, found = searched.rows, _ASKED * count, list[Row]()
    while True:
        found = _thin(searched.nearest(direction, min(asked, rows), exact), examples.places)[:count]
        if len(found) == count or asked >= rows:
            break
        asked *= 4
    return Hits(
        hits=tuple(Hit(*row, recording=-1) for row in found),
        encoder=searched.settings.model,
        query={"like": list(queries), **({"unlike": list(unlike)} if unlike else {}), "combine": "mean"},
        compared=rows,
        exact=exact or not searched.is_indexed,
        folder=Path(place),
    )


class _Examples:
    """Turns examples into directions, and notes those that are rows."""

    def __init__(self, searched: Searched, place: str) -> None:
        self.searched, self.place = searched, place
        self.places: list[tuple[str, float, float]] = []
        self._embedder: Embedder | None = None

    def direction(self, text: str) -> NDArray[np.float64]:
        """Return the mean ``(D,)`` of the standardised vectors of an example, each of length 1."""
        name, stretch = split_stretch(text)
        if is_file(Path(name)):
            vectors = self.searched.standard.apply(self._embed(Path(name), stretch))
        else:
            vectors = self._of_rows(name, stretch)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        mean: NDArray[np.float64] = (vectors / np.maximum(norms, 1e-12)).mean(axis=0, dtype=np.float64)
        return mean

    def _of_rows(self, name: str, stretch: Stretch) -> NDArray[np.float32]:
        rows = self.searched.of_recording(name)
        if not rows:
            raise DataError(f"{name}: neither a file nor a recording of {self.place}{hint_stretch(name)}")
        last = max(row["end_s"] for row in rows)
        check_inside(name, stretch, last)
        begin_s, end_s = stretch.begin_s or 0.0, last if stretch.end_s is None else stretch.end_s
        middle = (begin_s + end_s) / 2
        inside = [row for row in rows if begin_s <= (row["start_s"] + row["end_s"]) / 2 <= end_s]
        nearest = min(rows, key=lambda row: abs((row["start_s"] + row["end_s"]) / 2 - middle))
        self.places.append((name, begin_s, end_s))
        return np.stack([np.asarray(row["vector"], np.float32) for row in inside or [nearest]])

    def _embed(self, file: Path, stretch: Stretch) -> NDArray[np.float32]:
        if self._embedder is None:
            source = self.searched.source
            options = {**source["encoder"], "device": "cpu", "engine": "auto"}
            embedder = load_model(source["model"], revision=source["revision"], **options)
            self._embedder = embedder.going_on(self.searched.settings.fingerprint)
            if self._embedder.fingerprint != self.searched.settings.fingerprint:
                raise ConfigError(
                    f"{source['model']}: its weights are other ones than those that {self.place} was made with; put "
                    "those back"
                )
        windows = self.searched.settings.windows
        with cut_sound(file, stretch) as cut:
            if windows is None:
                return self._embedder.embed(cut).scene[None]
            blocks = self._embedder.windows(cut, windows.window_s, windows.hop_s)
            return np.concatenate([block.embeddings for block in blocks])


def _thin(rows: Sequence[Row], taken: Sequence[tuple[str, float, float]]) -> list[Row]:
    """Leave out rows that overlap an example, or a better row of their recording."""
    by_path: dict[str, list[tuple[float, float]]] = {}
    for path, begin_s, end_s in taken:
        by_path.setdefault(path, []).append((begin_s, end_s))

    def free() -> Iterator[Row]:
        for row in rows:
            path, begin_s, end_s, _ = row
            there = by_path.setdefault(path, [])
            if not any(begin_s < other_end and other_begin < end_s for other_begin, other_end in there):
                there.append((begin_s, end_s))
                yield row

    return list(free())

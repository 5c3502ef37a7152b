"""Search the windows of one encoder, again and again: what is mapped, read or loaded for a search serves the next."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.open import open_sound
from axlstm.audio.read import file_facts, mono_blocks
from axlstm.collection.encoders import WindowEncoder
from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.collection.loading import load_again
from axlstm.collection.search import nearest
from axlstm.collection.search.nearest import NearestIndex, candidates_for, load_index
from axlstm.collection.search.nearest_build import build_index
from axlstm.collection.search.norms import read_norms
from axlstm.collection.search.scan import Directions, bound_all, float32_errors, score_all, score_rows
from axlstm.collection.search.table import Place, WindowTable, state_of
from axlstm.collection.search.thin import Spacing, best_rows, choose_among, choose_best, rule_out_stretch
from axlstm.collection.stretches import Stretch, constant_of, read_stretch, refuse_silence
from axlstm.errors import AudioError

_LONG_SECONDS = 600.0  # queries of this length and above are not held in memory as a whole
_log = logging.getLogger(__name__)
_MOST_PROPOSED = 0.05  # of all windows: to compare them all is as fast then
_MORE = 16  # rows that are chosen beyond those asked for, before their scores are computed in float64


class Match(NamedTuple):
    """A row of the table, and its score."""

    row: int
    score: float


@contextmanager
def cut_sound(path: Path, stretch: Stretch) -> Iterator[Path]:
    """Yield a file with a stretch of a sound, which is the sound's own if it is all of it: encoders read files.

    Raises:
        AudioError, FileNotFoundError: it cannot be read, is silent, or ends before the stretch.
    """
    if stretch.is_whole:
        with open_sound(path) as (file, name):
            refuse_silence(name, constant_of(mono_blocks(file, name)))
        yield path
        return
    samples, rate = read_stretch(path, stretch)
    refuse_silence(f"{path}@{stretch.begin_s:g}-{stretch.end_s:g}", constant_of([samples]))
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / f"{stretch.begin_s:g}-{stretch.end_s:g}-{path.stem[:60]}.wav"
        soundfile.write(cut, samples, rate, "FLOAT")
        yield cut


class Searcher:
    """The windows of an encoder, ready to be searched.

    Args:
        entry: the encoder.

    Raises:
        DataError: there are no windows.
        DamageError: a part is missing or damaged.
    """

    def __init__(self, collection: CollectionFolder, entry: EncoderEntry) -> None:
        self.collection, self.entry = collection, entry
        self._encoder: WindowEncoder | None = None
        self._state: tuple[object, ...] = ()
        self._norms: list[NDArray[np.float32]] | None = None
        self._index: NearestIndex | None = None
        self.refresh()

    def refresh(self) -> None:
        """Map the windows again if they have changed since they were mapped."""
        state = state_of(self.collection, self.entry)
        if state != self._state:
            self.table = WindowTable(self.collection, self.entry)
            self._state, self._norms, self._index = state, None, None

    @property
    def encoder(self) -> WindowEncoder:
        """Load the encoder when it is first asked for.

        Raises:
            ConfigError: it is not there any more, or gives other vectors now.
        """
        if self._encoder is None:
            self._encoder = load_again(self.entry)
        return self._encoder

    @property
    def norms(self) -> list[NDArray[np.float32]]:
        """Return the norms of the standardised vectors, see `axlstm.collection.search.norms.read_norms`."""
        if self._norms is None:
            self._norms = read_norms(self.collection.folder, self.table)
        return self._norms

    def embed(self, path: Path, stretch: Stretch) -> NDArray[np.float32]:
        """Embed the windows of a sound that is not in the collection, ``(n, D)``.

        Raises:
            AudioError, FileNotFoundError: it cannot be read, is silent or too short, or ends before the stretch.
            ConfigError: the encoder is not there any more.
        """
        name = str(path) if stretch.is_whole else f"{path}@{stretch.begin_s:g}-{stretch.end_s:g}"
        with cut_sound(path, stretch) as cut:
            return self._embed_file(cut, name)

    def _embed_file(self, file: Path, name: str) -> NDArray[np.float32]:
        encoder = self.encoder
        try:
            if file_facts(file)["duration_s"] >= _LONG_SECONDS:
                return np.concatenate([block.embeddings for block in encoder.stream(file)])
            return encoder.embed([encoder.prepare(file)])[0].embeddings
        except AudioError as error:
            raise AudioError(str(error) if name in str(error) else f"{name}: {error}") from error

    @property
    def index(self) -> NearestIndex:
        """Return the approximate index; it is made, which takes minutes for a million windows, if none fits."""
        if self._index is None:
            self._index = load_index(self.collection.folder, self.table)
        if self._index is None:
            _log.warning(
                "an index of %d windows is made first, which takes some minutes; --exact searches without",
                len(self.table),
            )
            self._index = build_index(self.collection.folder, self.table)
        return self._index

    def find(
        self,
        directions: Directions,
        count: int,
        spacing: Spacing,
        mask: NDArray[np.bool_] | None = None,
        places: Sequence[Place] = (),
        exact: bool = False,
    ) -> tuple[list[Match], bool]:
        """Find the best rows, best first, and tell whether every row was compared.

        Args:
            mask: which rows may be found ``(n,)``.
            places: windows that overlap these are not found.
            exact: compare every row, however many there are.
        """
        if not exact and self._index_helps(directions, mask):
            found = self._find_near(directions, count, spacing, mask, places)
            if found is not None:
                return found, False
        may_settle = candidates_for(count) < _MOST_PROPOSED * len(self.table)
        if may_settle and mask is None and len(directions.all) == 1:
            bounds = bound_all(self.table, self.norms, directions.like[0])
            settled = None if bounds is None else self._settle(bounds, directions, count, spacing, places)
            if settled is not None:
                return settled, True
        scores = score_all(self.table, self.norms, directions, mask)
        if may_settle:
            bounds = scores + float32_errors(self.table, self.norms, directions)
            settled = self._settle(bounds, directions, count, spacing, places)
            if settled is not None:
                return settled, True
        for span, stretch in places:
            rule_out_stretch(self.table, scores, span, stretch, Spacing())
        rows = np.array(choose_best(self.table, scores, count + _MORE, spacing), dtype=np.int64)
        return _rank(rows, score_rows(self.table, rows, directions))[:count], True

    def _settle(
        self,
        bounds: NDArray[np.float32],
        directions: Directions,
        count: int,
        spacing: Spacing,
        places: Sequence[Place],
    ) -> list[Match] | None:
        """Find the best rows by bounds of all scores ``(n,)``; None if these are too near each other to tell."""
        asked = candidates_for(count)
        while asked < _MOST_PROPOSED * len(self.table):
            rows = best_rows(bounds, asked)
            scores = score_rows(self.table, rows, directions)
            chosen = choose_among(self.table, rows, scores, count, spacing, places)
            # No other row has a score above the lowest of these bounds.
            if len(rows) < asked or (len(chosen) == count and scores[chosen[-1]] > bounds[rows[-1]]):
                return [Match(int(rows[index]), float(scores[index])) for index in chosen]
            asked *= 4
        return None

    def _index_helps(self, directions: Directions, mask: NDArray[np.bool_] | None) -> bool:
        """Tell whether so many rows may be found that an index is faster, and one can be asked for these directions."""
        allowed = len(self.table) if mask is None else int(mask.sum())
        if allowed < nearest.LEAST_WINDOWS or len(directions.unlike):
            return False
        if not nearest.is_installed():
            _tell_once(
                f"each of {allowed} windows is compared; from {nearest.LEAST_WINDOWS} on, "
                'pip install "axlstm[search]" makes search faster'
            )
            return False
        return self.index.probes > 0

    def _find_near(
        self,
        directions: Directions,
        count: int,
        spacing: Spacing,
        mask: NDArray[np.bool_] | None,
        places: Sequence[Place],
    ) -> list[Match] | None:
        """Find rows among those that the index proposes; None if it would have to propose many, or does not know."""
        others = self.index.others if mask is None else self.index.others & mask
        best_others = np.empty(0, dtype=np.int64)
        asked = candidates_for(count)
        if others.any():
            scores = score_all(self.table, self.norms, directions, others)
        while asked < _MOST_PROPOSED * len(self.table):
            rows = self.index.propose(directions.like, asked, mask)
            if rows is None:
                return None
            if others.any():
                best_others = best_rows(scores, asked)
                rows = np.concatenate([rows, best_others])
            exact_scores = score_rows(self.table, rows, directions)
            chosen = choose_among(self.table, rows, exact_scores, count, spacing, places)
            if len(chosen) == count:
                return [Match(int(rows[index]), float(exact_scores[index])) for index in chosen]
            asked *= 4
        return None


def _rank(rows: NDArray[np.int64], scores: NDArray[np.float64]) -> list[Match]:
    """Order rows by their scores; of equal ones, the first row comes first."""
    order = np.lexsort((rows, -scores))
    return [Match(int(rows[index]), float(scores[index])) for index in order]


@cache
def _tell_once(message: str) -> None:
    _log.warning(message)

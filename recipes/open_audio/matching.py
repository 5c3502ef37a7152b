"""Find fingerprints of one recording: an inverted index gives candidates, bit errors over the overlap decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.open_audio.fingerprint import WEAK_BITS, Fingerprint

MOST_ERRORS = 0.15
"""Share of bits that may differ in the words that two copies share; unrelated recordings differ in about half."""

FULL_WORDS = 64
"""From so many shared words on; with fewer the share falls in proportion, as short recordings agree by chance."""

LEAST_SHARED = 0.7
"""Share of the shorter recording's active words that must lie inside the longer one."""

LEAST_WORDS = 8
"""Recordings with fewer active words are told apart by their decoded samples only."""

_MOST_QUERIES = 192  # words of one recording that are looked up
_COMMON = 400  # words that occur more often say nothing
_OFFSETS = 3  # alignments of a pair that are tried
VERSION = 2
"""Of the way recordings are compared: to be raised with every change of what decides that two are one."""

_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True)
class Match:
    """Two recordings that share audio: their numbers, the share of bits that differ, and the words compared."""

    query: int
    found: int
    errors: float
    words: int


class Index:
    """Recordings that can be searched by the words of others."""

    def __init__(self, recordings: Sequence[Fingerprint]) -> None:
        self.recordings = recordings
        lengths = [len(recording.words) for recording in recordings]
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        words = _concatenated([recording.words for recording in recordings], np.uint32)
        active = _concatenated([recording.active for recording in recordings], np.bool_)
        places = np.flatnonzero(active)
        order = np.argsort(words[places], kind="stable")
        self._places = places[order]  # (m,) where in all words together
        self._words = words[self._places]  # (m,) sorted

    def search(self, query: Fingerprint, among: range | None = None) -> Iterator[tuple[int, float, int]]:
        """Find recordings that share ``query``'s audio: number, share of bits that differ, words compared.

        Args:
            among: numbers of the recordings to search; all by default.
        """
        if int(query.active.sum()) < LEAST_WORDS:
            return
        for found, offsets in self._candidates(query, among):
            errors, words = min(compare(query, self.recordings[found], offset) for offset in offsets)
            if errors <= MOST_ERRORS * min(1.0, words / FULL_WORDS):
                yield found, errors, words

    def _candidates(self, query: Fingerprint, among: range | None) -> Iterator[tuple[int, list[int]]]:
        """Find recordings with words of the query, and the offsets at which most of them agree."""
        positions = np.flatnonzero(query.active)
        if len(positions) > _MOST_QUERIES:
            positions = positions[np.linspace(0, len(positions) - 1, _MOST_QUERIES).astype(np.int64)]
        variants = _variants(query.words[positions], query.weak[positions])  # (n, 16)
        wanted = variants.ravel()
        first = np.searchsorted(self._words, wanted, side="left")
        counts = np.searchsorted(self._words, wanted, side="right") - first
        counts[counts > _COMMON] = 0
        total = int(counts.sum())
        if total == 0:
            return
        within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self._places[np.repeat(first, counts) + within]
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        offsets = places - self._starts[numbers] - np.repeat(np.repeat(positions, 1 << WEAK_BITS), counts)
        if among is not None:
            kept = (numbers >= among.start) & (numbers < among.stop)
            numbers, offsets = numbers[kept], offsets[kept]
        pairs, votes = np.unique(np.stack([numbers, offsets], axis=1), axis=0, return_counts=True)
        order = np.lexsort((pairs[:, 1], -votes, pairs[:, 0]))
        pairs = pairs[order]
        begins = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1)).tolist()
        for begin, end in zip(begins, [*begins[1:], len(pairs)], strict=True):
            best = pairs[begin : min(end, begin + _OFFSETS), 1]
            yield int(pairs[begin, 0]), [int(offset) for offset in best]


def compare(query: Fingerprint, other: Fingerprint, offset: int) -> tuple[float, int]:
    """Return the share of bits that differ with ``query`` at ``other``'s word ``offset``, and the words compared.

    The share is 1.0 if too little of the shorter one overlaps.
    """
    begin, end = max(0, -offset), min(len(query.words), len(other.words) - offset)
    if end <= begin:
        return 1.0, 0
    mine = slice(begin, end)
    theirs = slice(begin + offset, end + offset)
    both = query.active[mine] & other.active[theirs]
    words = int(both.sum())
    shorter = min(int(query.active.sum()), int(other.active.sum()))
    if words < max(LEAST_WORDS, LEAST_SHARED * shorter):
        return 1.0, words
    strong = (query.strong[mine] & other.strong[theirs])[both]
    different = (query.words[mine] ^ other.words[theirs])[both] & strong
    return _count(different) / max(_count(strong), 1), words


def find_matches(recordings: Sequence[Fingerprint]) -> list[Match]:
    """Find all pairs of recordings that share audio, the later one as the query."""
    index = Index(recordings)
    return [
        Match(number, found, errors, words)
        for number, recording in enumerate(recordings)
        for found, errors, words in index.search(recording)
        if found != number
    ]


def _count(words: NDArray[np.uint32]) -> int:
    """Count the bits that are set."""
    return int(_ONES[words.view(np.uint8)].sum())


def _variants(words: NDArray[np.uint32], weak: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Flip every choice of the uncertain bits of words ``(n,)``, ``(n, 2 ** WEAK_BITS)``."""
    masks = np.uint32(1) << weak.astype(np.uint32)  # (n, 4)
    choices = (np.arange(1 << WEAK_BITS)[:, None] >> np.arange(WEAK_BITS)) & 1  # (16, 4)
    flips = (choices[None].astype(np.uint32) * masks[:, None]).sum(axis=2, dtype=np.uint32)  # (n, 16)
    return words[:, None] ^ flips


def _concatenated(arrays: Sequence[NDArray[np.generic]], dtype: type) -> NDArray[np.generic]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=dtype)

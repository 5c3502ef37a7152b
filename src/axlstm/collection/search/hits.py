"""Hold what a search found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where in a hit the sound is that the query is most like: a stretch in seconds, and the cosine of its frames."""

    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Hit:
    """A window that was found.

    Args:
        path: of its recording in the collection.
        recording: its number there.
        score: a cosine, 1 for a window like the query; see `axlstm.collection.search.scan.Directions`.
        recorded_at: when the window begins, as ISO 8601; None where that is not known.
        within: where in the window, if that was asked for.
    """

    path: str
    start_s: float
    end_s: float
    score: float
    recording: int
    recorded_at: str | None = None
    within: Place | None = None


@dataclass(frozen=True)
class Hits:
    """The windows that a search found, the best one first.

    Args:
        encoder: its name in the collection.
        query: what was searched for, and with which filters.
        compared: number of windows that the filters let through.
        exact: whether each of them was compared, and not an approximate index asked.
        notes: what was left out without a fault.
    """

    hits: tuple[Hit, ...]
    encoder: str
    query: Mapping[str, Any]
    compared: int
    exact: bool
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __getitem__(self, index: int) -> Hit:
        return self.hits[index]

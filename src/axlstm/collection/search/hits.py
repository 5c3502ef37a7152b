"""Hold what a search found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow
    from IPython.display import HTML, Audio

_SHOWN = 20  # rows where a notebook shows hits by itself


@dataclass(frozen=True)
class Place:
    """The stretch of a hit that is most like the query, in seconds, and the cosine of its frames."""

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
    """The windows that a search found, the best one first; a notebook shows them as a table.

    Args:
        folder: of the collection.
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
    folder: Path
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __getitem__(self, index: int) -> Hit:
        return self.hits[index]

    def play(self, index: int) -> Audio:
        """Return a notebook's player for a hit: the mean of its channels, as loud as 16 bits hold.

        Raises:
            ConfigError: IPython is not installed.
            AudioError, FileNotFoundError: its recording cannot be read, or has changed since it was indexed.
        """
        from axlstm.collection.search.notebook import play_hit

        return play_hit(self.folder, self.hits[index])

    def show(self, count: int = 10) -> HTML:
        """Return the first hits as a table with players, for a notebook; the sound is inside of it.

        Raises:
            ConfigError: IPython is not installed.
        """
        from axlstm.collection.search.notebook import show_hits

        return show_hits(self.folder, self.hits[:count])

    def table(self) -> pyarrow.Table:
        """Return the hits as a table of Arrow, whose ``to_pandas`` makes a data frame."""
        import pyarrow

        return pyarrow.Table.from_pylist([asdict(hit) for hit in self.hits])

    def _repr_html_(self) -> str:
        from axlstm.collection.search.notebook import make_table

        more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        return make_table(self.hits[:_SHOWN]) + more

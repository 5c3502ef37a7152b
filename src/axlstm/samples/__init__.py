"""Provide short real recordings that ship with the package, for examples, demos and tests.

Every recording is CC0 or CC-BY. The file NOTICE beside the licence gives title, author, source and the changes made to
each.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from axlstm.errors import ConfigError

__all__ = ["Sample", "Stroke", "sample_names", "sample_path", "sample_paths", "samples", "strokes", "strokes_table"]

_FOLDER = Path(str(files(__name__)))


@dataclass(frozen=True)
class Sample:
    """One recording: its sound, its author and its licence."""

    name: str
    kind: str
    description: str
    file_name: str
    licence: str
    author: str
    source: str


@dataclass(frozen=True)
class Stroke:
    """One stroke on a drum or cymbal: a clip of the small task that ships with the package."""

    path: Path
    label: str
    group: str  # its drum kit
    title: str
    author: str
    licence: str
    source: str


@cache
def samples() -> tuple[Sample, ...]:
    """List all recordings."""
    return tuple(Sample(**row) for row in _rows(_FOLDER / "recordings.csv"))


def sample_names() -> list[str]:
    """List the names of the recordings in alphabetical order."""
    return sorted(sample.name for sample in samples())


def sample_path(name: str) -> Path:
    """Find one recording.

    Raises:
        ConfigError: no recording has this name; the message lists those that exist.
    """
    for sample in samples():
        if sample.name == name:
            return _FOLDER / "audio" / sample.file_name
    raise ConfigError(f"no sample is called {name!r}; choose one of: {', '.join(sample_names())}")


def sample_paths() -> list[Path]:
    """List the paths of all recordings in the order of `sample_names`."""
    return [sample_path(name) for name in sample_names()]


def strokes_table() -> Path:
    """Find the table of strokes for `axlstm.evaluate.tasks.make`: path, label (the drum), group (the kit), credits."""
    return _FOLDER / "strokes" / "table.csv"


def strokes() -> list[Stroke]:
    """Read the rows of `strokes_table`."""
    folder = strokes_table().parent
    return [Stroke(path=folder / row.pop("path"), **row) for row in _rows(strokes_table())]


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

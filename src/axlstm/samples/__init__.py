"""Short real recordings that ship with the package, for examples, demos and tests.

Every recording is CC0 or CC-BY; the file NOTICE beside the licence gives title, author, source and the
changes made to each.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from axlstm.errors import ConfigError

__all__ = ["Sample", "Stroke", "sample_names", "sample_path", "sample_paths", "samples", "strokes", "strokes_table"]


@dataclass(frozen=True)
class Sample:
    """One recording: what is heard, who made it and under which licence."""

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
    """All recordings, as the table beside them lists them."""
    with (_folder() / "audio" / "table.csv").open(newline="", encoding="utf-8") as file:
        return tuple(Sample(**row) for row in csv.DictReader(file))


def sample_names() -> list[str]:
    """Names of the recordings, in alphabetical order."""
    return sorted(sample.name for sample in samples())


def sample_path(name: str) -> Path:
    """Path of one recording.

    Raises:
        ConfigError: no recording has this name; the message lists those that exist.
    """
    for sample in samples():
        if sample.name == name:
            return _folder() / "audio" / sample.file_name
    raise ConfigError(f"no sample is called {name!r}; choose one of: {', '.join(sample_names())}")


def sample_paths() -> list[Path]:
    """Paths of all recordings, in the order of `sample_names`."""
    return [sample_path(name) for name in sample_names()]


def strokes_table() -> Path:
    """A table of strokes for `axlstm.evaluate.tasks.make`: path, label (the drum) and group (the kit), and credits."""
    return _folder() / "strokes" / "table.csv"


def strokes() -> list[Stroke]:
    """The rows of `strokes_table`."""
    table = strokes_table()
    with table.open(newline="", encoding="utf-8") as file:
        return [Stroke(path=table.parent / row.pop("path"), **row) for row in csv.DictReader(file)]


def _folder() -> Path:
    return Path(str(files(__name__)))

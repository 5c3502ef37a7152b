"""Say what both stores are filled with and asked, and how their processes answer; neither store is imported here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FILE_WINDOWS = 100
"""Windows of a file: those of 250 s."""

HOP_S = 2.5
SITES = 10
TOP = 20
LABEL = "wren"


class Window(NamedTuple):
    """A window of a file."""

    file: int
    place: int

    @property
    def bounds(self) -> tuple[float, float]:
        """Return its start and end in the file, in seconds."""
        return self.place * HOP_S, (self.place + 2) * HOP_S


class Plan:
    """Vectors ``(n, D)`` float16 of windows, which are those of files in order.

    Args:
        folder: with ``vectors.npy`` and, for ours, the files in ``sounds``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors: NDArray[np.float16] = np.load(folder / "vectors.npy", mmap_mode="r")
        self.files = len(self.vectors) // FILE_WINDOWS

    def of_file(self, file: int) -> NDArray[np.float32]:
        """Return the vectors of a file's windows ``(FILE_WINDOWS, D)``."""
        return self.vectors[file * FILE_WINDOWS : (file + 1) * FILE_WINDOWS].astype(np.float32)

    def name(self, file: int) -> str:
        """Return the name of a file."""
        return file_name(file, self.files)

    def site(self, file: int) -> str:
        """Return the site of a file, which is its folder."""
        return self.name(file).partition("/")[0]

    def of_site(self, site: str) -> NDArray[np.bool_]:
        """Tell which windows are of a site ``(n,)``."""
        return np.repeat([self.site(file) == site for file in range(self.files)], FILE_WINDOWS)

    def queries(self, count: int) -> list[Window]:
        """Choose windows to search for, anywhere."""
        chosen = np.random.default_rng(1).choice(len(self.vectors), count, replace=False)
        return [as_window(number) for number in chosen.tolist()]

    def labelled(self, count: int) -> list[Window]:
        """Choose windows to label, evenly spread."""
        return [as_window(number * (len(self.vectors) // count)) for number in range(count)]


def file_name(file: int, files: int) -> str:
    """Return the name of a file below the folder of sounds: in a folder for its site, in the order of the numbers."""
    return f"site{file * SITES // files:02d}/{file:06d}.wav"


def as_window(number: int) -> Window:
    """Return the window of a number."""
    return Window(*divmod(number, FILE_WINDOWS))


def number_of(name: str, start_s: float) -> int:
    """Return the number of a window by the name of its file and its start."""
    return int(Path(name).stem) * FILE_WINDOWS + round(start_s / HOP_S)


def say(**values: Any) -> None:
    """Tell the process that started this one; what was said before a kill is known there."""
    print(json.dumps(values), flush=True)


def heard(lines: str) -> Iterator[dict[str, Any]]:
    """Read what a process said, but for a line that it did not finish."""
    for line in lines.splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n"):
            yield json.loads(line)


def recall_of(found: list[list[int]], exact: list[list[int]]) -> float:
    """Return the share of the true nearest that were found."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len(set(some) & set(every)) / len(every) for some, every in pairs]))


def time_each(function: Callable[[Window], list[int]], queries: list[Window]) -> tuple[list[float], list[list[int]]]:
    """Return the seconds of each query but the first, which warms up, and what each found."""
    seconds, found = [], [function(queries[0])]
    for query in queries[1:]:
        begin = time.perf_counter()
        found.append(function(query))
        seconds.append(time.perf_counter() - begin)
    return seconds, found

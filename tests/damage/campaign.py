"""A campaign of random edits: each is equal to the undamaged, or told by a line that names the file."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from random import Random

from axlstm.errors import AxlstmError
from tests.damage.mutators import damage
from tests.damage.subjects import SUBJECTS, Outcome, Subject
from tests.damage.watched import watched

MOST_MEGABYTES = 500
GOOD = ("equal", "told", "other")
BAD = ("silent", "unnamed", "foreign exception", "over 5 s", "over 500 MB")
COLUMNS = (*GOOD, *BAD)
"""Other: a foreign file without checksums, or one with a new checksum, that now holds something else as good."""


@dataclass
class Kept:
    """A subject that has been made, and the outcome of reading it undamaged."""

    subject: Subject
    folder: Path
    expected: Outcome
    files: list[Path] = field(default_factory=list)


class Campaign:
    """Makes subjects below a folder, and tries edits of them."""

    def __init__(self, folder: Path, names: Iterable[str] = SUBJECTS) -> None:
        self.folder = folder
        self.kept = {name: self._make(SUBJECTS[name]) for name in names}

    def _make(self, subject: Subject) -> Kept:
        folder = self.folder / "made" / subject.name / "whole"
        folder.mkdir(parents=True)
        subject.make(folder)
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            whole = shutil.copytree(folder, Path(copy) / "whole")
            expected = subject.read(whole)
            assert not expected.told, expected.told
        return Kept(subject, folder, expected, subject.files(folder))

    def try_edit(self, name: str, seed: str) -> tuple[str, str]:
        """Make one edit of a kind and read it; returns its column, and what happened."""
        kept, rng = self.kept[name], Random(seed)
        file = rng.choice(kept.files).relative_to(kept.folder)
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            whole = shutil.copytree(kept.folder, Path(copy) / "whole")
            others = [whole / other.relative_to(kept.folder) for other in kept.files]
            edit, hostile = damage(whole / file, [other for other in others if other != whole / file], rng)
            ended = watched(lambda: _judge(kept, whole, file, hostile))
        where = f"{name} {seed} {file} {edit}"
        if ended.result is None:
            return "over 5 s", f"{where}: killed after {ended.seconds_used:.1f} s, {ended.megabytes:.0f} MB"
        column, text = ended.result
        if ended.megabytes > MOST_MEGABYTES:
            return "over 500 MB", f"{where}: {ended.megabytes:.0f} MB ({text})"
        return column, f"{where}: {text}"


def _judge(kept: Kept, folder: Path, file: Path, hostile: bool) -> tuple[str, str]:
    """Read the damaged folder, and compare with the undamaged."""
    lines, gone = _Lines(), not (folder / file).exists()
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(logging.WARNING)
    try:
        outcome = kept.subject.read(folder)
    except (AxlstmError, OSError) as error:
        message = str(error)
        return ("told" if _names(file, gone, [message, *lines.texts]) else "unnamed"), message
    except Exception as error:
        return "foreign exception", f"{type(error).__name__}: {error}"[:300]
    if outcome.value == kept.expected.value:
        return "equal", ""
    told = [*outcome.told, *lines.texts]
    if _names(file, gone, told):
        return "told", "; ".join(told)
    if hostile or any(fnmatch(str(file), pattern) for pattern in kept.subject.foreign):
        return "other", ""
    return ("unnamed", "; ".join(told)) if told else ("silent", "")


def _names(file: Path, gone: bool, lines: Sequence[str]) -> bool:
    """Tell whether a line names the file, or its folder where that is a thing of its own: a checkpoint, a task.

    Of a file that is gone, any folder above it says enough.
    """
    least = 0 if gone else 1
    names = [file.name.split(".")[0], *(str(parent) for parent in file.parents if len(parent.parts) > least)]
    return any(name in line for name in names for line in lines)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@dataclass
class Table:
    """Counts of a campaign by kind and column, and a line for each edit that came out badly."""

    counts: dict[str, Counter[str]]
    bad: list[str]
    seconds: float

    def __str__(self) -> str:
        width = max(map(len, self.counts), default=0) + 2
        lines = ["kind".ljust(width) + "  ".join(column.rjust(max(6, len(column))) for column in COLUMNS)]
        rows = [*self.counts.items(), ("all", sum(self.counts.values(), Counter()))]
        for name, counts in rows:
            numbers = (str(counts[column]).rjust(max(6, len(column))) for column in COLUMNS)
            lines.append(name.ljust(width) + "  ".join(numbers))
        return "\n".join([*lines, f"{sum(rows[-1][1].values())} edits in {self.seconds:.0f} s", *self.bad])


def run_campaign(campaign: Campaign, edits: int, seed: int, jobs: int = 1) -> Table:
    """Try edits, shared evenly by the kinds."""
    began, names = time.monotonic(), list(campaign.kept)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    bad: list[str] = []
    tries = [(names[number % len(names)], f"{seed}:{number}") for number in range(edits)]
    with ThreadPoolExecutor(jobs) as pool:
        for (name, _), (column, text) in zip(tries, pool.map(lambda one: campaign.try_edit(*one), tries), strict=True):
            counts[name][column] += 1
            if column in BAD:
                bad.append(f"{column}: {text}")
                print(bad[-1], flush=True)  # noqa: T201
    return Table(counts, bad, time.monotonic() - began)

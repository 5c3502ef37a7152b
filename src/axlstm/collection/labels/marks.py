"""Hold labels as files have them, and read the text and the numbers of such files with their lines."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from axlstm.collection.labels.judgements import VERDICTS
from axlstm.errors import DataError
from axlstm.options import Verdict

MOST_BYTES = 1 << 26  # of a file of labels
MOST_MARKS = 1_000_000  # of a file
_MOST_COLUMNS = 1_000
_VERDICT = re.compile(r"(?P<label>.*) \((?P<verdict>yes|no|unsure)\)", re.DOTALL)
_SCORE = re.compile(r"(?P<label>.*) \(p=(?P<score>[01]\.\d\d)\)", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """A label in a file.

    Args:
        line: of the file, from 1 on.
        recording: as the file names it; None for the recording that the file belongs to.
        start_s, end_s: in the recording; both None for all of it.
        author: None where the file does not say.
        score: that a program gave it, where no verdict of anybody stands beside it.
    """

    line: int
    recording: str | None
    start_s: float | None
    end_s: float | None
    label: str
    verdict: Verdict = "yes"
    low_hz: float | None = None
    high_hz: float | None = None
    author: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Facts:
    """Facts of a recording for files of labels: its path on the disk, its length and its rate."""

    place: str
    duration_s: float
    sample_rate_hz: int


def times_of(mark: Mark) -> tuple[float, float]:
    """Return the times of a mark that is written, which has some."""
    if mark.start_s is None or mark.end_s is None:
        raise ValueError(f"a label {mark.label} without times")
    return mark.start_s, mark.end_s


@dataclass
class Reading:
    """The content of a file of labels: marks, faults with their lines, and counts of rows passed over, by reason.

    ``runs_through`` says that times may run through all recordings that are named, one behind the other.
    """

    path: Path
    marks: list[Mark] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    runs_through: bool = False

    def add(self, mark: Mark) -> None:
        """Take in a mark.

        Raises:
            DataError: there are too many.
        """
        if len(self.marks) >= MOST_MARKS:
            raise DataError(f"{self.path}, line {mark.line}: more than {MOST_MARKS} labels; cut the file into several")
        self.marks.append(mark)


def read_text(path: Path) -> str:
    """Read a file of labels as text.

    Raises:
        DataError: it cannot be read, is too large, or holds no text in UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path}: {size} bytes, expected a file of labels of at most {MOST_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content:
        raise DataError(f"{path}: no text, but a binary file; expected labels of Raven, Audacity, Kaleidoscope or CSV")
    else:
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not in UTF-8 ({error.reason}); save the file as UTF-8") from error


def read_rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a table with a header: line, and cells by the name of their column, without spaces around them.

    Raises:
        DataError: a header that names a column twice or none, a row of another length, or quotes that do not end.
    """
    lines = _reader(text, separator)
    try:
        columns = [name.strip() for name in next(lines, [])]
        if not columns or len(columns) > _MOST_COLUMNS or len(set(columns)) < len(columns):
            raise DataError(f"{path}, line 1: expected a header whose columns have names of their own")
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{path}, line {lines.line_num}: {len(cells)} cells, and the header has {len(columns)} columns"
                )
            yield lines.line_num, {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: no table ({error})") from error


def header_of(text: str, separator: str) -> list[str]:
    """Return the names of the columns as `read_rows` has them; none for what is no table."""
    try:
        return [name.strip() for name in next(_reader(text, separator), [])]
    except csv.Error:
        return []


def _reader(text: str, separator: str) -> Any:
    """Read cells. Between tabs quotes are text, as Raven has them, unless the first cell is quoted, as R writes it."""
    is_bare = separator == "\t" and not text.startswith('"')
    quoting: Literal[0, 3] = csv.QUOTE_NONE if is_bare else csv.QUOTE_MINIMAL
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=True)


def parse_number(text: str, name: str) -> float:
    """Parse a finite number; a comma may stand for its point.

    Raises:
        ValueError: naming the column.
    """
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        raise ValueError(f"{name} is {text[:40]!r}, expected a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text[:40]!r}, expected a number")
    return value


def parse_optional(row: Mapping[str, str], name: str) -> float | None:
    """Parse a number that a row need not have."""
    return parse_number(row[name], name) if row.get(name) else None


def score_of(text: str) -> float | None:
    """Return a score, as hits and detections have one; in a table of somebody else it may be anything."""
    try:
        return float(text)
    except ValueError:
        return None


def parse_verdict(text: str) -> Verdict:
    """Parse a verdict; an empty text is a yes.

    Raises:
        ValueError: it is none.
    """
    lowered = text.lower() or "yes"
    for verdict in VERDICTS:
        if lowered == verdict:
            return verdict
    raise ValueError(f"verdict {text[:40]!r}, expected one of {', '.join(VERDICTS)}")


def as_text(mark: Mark) -> str:
    """Write a label with its score or verdict as one text: ``wren (p=0.87)``, ``wren``, ``wren (no)``."""
    return with_verdict(mark.label, mark.verdict) if mark.score is None else f"{mark.label} (p={mark.score:.2f})"


def with_verdict(label: str, verdict: Verdict) -> str:
    """Write a label and its verdict as one text, for formats that have no verdicts: ``wren``, ``wren (no)``."""
    is_plain = verdict == "yes" and not (_VERDICT.fullmatch(label) or _SCORE.fullmatch(label))
    return label if is_plain else f"{label} ({verdict})"


def split_verdict(text: str) -> tuple[str, Verdict, float | None]:
    """Split what `as_text` wrote into label, verdict and score. A label with a score is a yes."""
    if found := _VERDICT.fullmatch(text):
        return found["label"], parse_verdict(found["verdict"]), None
    if scored := _SCORE.fullmatch(text):
        return scored["label"], "yes", float(scored["score"])
    return text, "yes", None


def choose_column(columns: Sequence[str], known: Sequence[str], column: str | None, path: Path) -> str:
    """Choose the column that holds labels: the one that is asked for, or the first that is known.

    Raises:
        DataError: it is not there, or none is known.
    """
    if column is not None:
        if column not in columns:
            raise DataError(f"{path}, line 1: no column {column!r}; it has {', '.join(columns)[:300]}")
        return column
    lowered = {name.lower(): name for name in columns}
    for name in known:
        if name in lowered:
            return lowered[name]
    raise DataError(
        f"{path}, line 1: none of its columns is known to hold labels ({', '.join(columns)[:300]}); name one with "
        "--column, or give all rows one label with --label"
    )

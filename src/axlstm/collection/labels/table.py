"""Give, list and undo labels in the tables of a collection."""

from __future__ import annotations

import difflib
import getpass
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from axlstm.collection.folder import CollectionFolder, now
from axlstm.collection.labels.judgements import VERDICTS, Statement
from axlstm.errors import DataError, name_some
from axlstm.files import is_file, readable_name
from axlstm.options import Verdict

MOST_CHARACTERS = 200  # of a label's name
_END_SLACK_S = 0.05  # that a label may reach beyond the end: durations are rounded, and windows too


@dataclass(frozen=True)
class Label:
    """Somebody's verdict whether a label is heard in a stretch of a recording.

    Args:
        recording: its number in the collection.
        low_hz, high_hz: the band that was marked, where one was.
    """

    recording: int
    start_s: float
    end_s: float
    label: str
    verdict: Verdict = "yes"
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True)
class LabelCount:
    """Counts of the labels of one name that are not undone, by verdict, and of the recordings that have them."""

    label: str
    yes: int
    no: int
    unsure: int
    recordings: int


def default_author() -> str:
    """Return the name that the system knows the user by."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def check_name(label: str) -> str:
    """Return the name of a label without spaces around it.

    Raises:
        ValueError: it is empty, longer than 200 characters, or has characters that end lines or cells.
    """
    label = label.strip()
    if not label:
        raise ValueError("a label without a name")
    if len(label) > MOST_CHARACTERS:
        raise ValueError(f"a label of {len(label)} characters, expected at most {MOST_CHARACTERS}")
    if not label.isprintable():
        raise ValueError(f"the label {label!r}, which has characters that cannot be shown")
    return label


def check_author(author: str) -> str:
    """Return the name of who gives labels.

    Raises:
        ValueError: it is longer than 200 characters, or has characters that end lines or cells.
    """
    if len(author) > MOST_CHARACTERS or not author.isprintable():
        raise ValueError(
            f"the author {author[:MOST_CHARACTERS]!r}, expected at most {MOST_CHARACTERS} characters that can be shown"
        )
    return author


def check_stretch(start_s: float, end_s: float, duration_s: float) -> tuple[float, float]:
    """Return a stretch of a recording, which ends where the recording does at the latest.

    Raises:
        ValueError: it is none: times that are no numbers, below zero, the wrong way round, or beyond the end.
    """
    if not (math.isfinite(start_s) and math.isfinite(end_s)):
        raise ValueError(f"times that are no numbers ({start_s:g} to {end_s:g} s)")
    if start_s < 0 or end_s <= start_s:
        raise ValueError(f"{start_s:g} to {end_s:g} s: expected 0 or more, and an end behind the start")
    if end_s > duration_s + _END_SLACK_S or start_s >= duration_s:
        raise ValueError(f"{start_s:g} to {end_s:g} s: beyond the end of the recording, which has {duration_s:g} s")
    return start_s, min(end_s, duration_s)


def check_band(low_hz: float | None, high_hz: float | None) -> tuple[float | None, float | None]:
    """Return a band of frequencies, either end of which may be open.

    Raises:
        ValueError: frequencies that are no numbers, below zero, or the wrong way round.
    """
    for value in (low_hz, high_hz):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"a frequency of {value:g} Hz, expected 0 or more")
    if low_hz is not None and high_hz is not None and high_hz < low_hz:
        raise ValueError(f"a band from {low_hz:g} to {high_hz:g} Hz: the wrong way round")
    return low_hz, high_hz


def add_labels(collection: CollectionFolder, entries: Sequence[tuple[Label, str, str]]) -> list[int]:
    """Enter labels in one step, all of them or none, and return their numbers.

    Args:
        entries: each label, who says so, and the file that it comes from or the command that gave it.

    Raises:
        DataError: a recording that the collection does not have, or a name, stretch or author that no label can have.
        WriteError: the disk is full or fails.
    """
    durations = find_durations(collection)
    rows = []
    for label, author, source in entries:
        try:
            rows.append((*check_label(label, durations), check_author(author), source))
        except ValueError as error:
            raise DataError(f"{collection.folder}: {error}") from error
    numbers = []
    with collection.transaction():
        at = _new_step(collection)
        for row in rows:
            done = collection.tables.execute(
                "INSERT INTO labels (recording, start_s, end_s, low_hz, high_hz, label, verdict, author, source, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, at),
            )
            numbers.append(int(done.lastrowid or 0))
    return numbers


def _new_step(collection: CollectionFolder) -> str:
    """Return the present time, moved on if labels have it already: those of one time are one step."""
    at = now()
    row = collection.tables.execute("SELECT at FROM labels ORDER BY id DESC LIMIT 1").fetchone()
    if row is None or row["at"] < at:
        return at
    return (datetime.fromisoformat(row["at"]) + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")


def find_recording(collection: CollectionFolder, name: str) -> int | None:
    """Find the number of a recording that is present by its path in the collection, or on the disk.

    Raises:
        DataError: the first is of a recording, and the second of another file.
    """
    there, here = readable_name(name), collection.name_of(Path(name))
    query = "SELECT id FROM recordings WHERE path = ? AND removed_at IS NULL"
    row = collection.tables.execute(query, (there,)).fetchone()
    if row is None:
        row = collection.tables.execute(query, (here,)).fetchone()
    elif here != there and is_file(Path(name)):
        raise DataError(
            f"{name}: a recording of {collection.folder}, {collection.place_of(there)}, and another file here; write "
            f"./{name} for the file, or the whole path of the recording"
        )
    return None if row is None else int(row["id"])


def find_durations(collection: CollectionFolder) -> dict[int, float]:
    """Return the duration in seconds of each recording that is present."""
    rows = collection.tables.execute("SELECT id, duration_s FROM recordings WHERE removed_at IS NULL")
    return {row["id"]: row["duration_s"] for row in rows}


def check_label(
    label: Label, durations: Mapping[int, float]
) -> tuple[int, float, float, float | None, float | None, str, Verdict]:
    """Return the fields of a label as they are entered.

    Raises:
        ValueError: a recording that is not there, or a name, stretch, band or verdict that a label cannot have.
    """
    if label.recording not in durations:
        raise ValueError(f"no recording number {label.recording}")
    start_s, end_s = check_stretch(label.start_s, label.end_s, durations[label.recording])
    low_hz, high_hz = check_band(label.low_hz, label.high_hz)
    if label.verdict not in VERDICTS:
        raise ValueError(f"verdict {label.verdict!r}, expected one of {', '.join(VERDICTS)}")
    return label.recording, start_s, end_s, low_hz, high_hz, check_name(label.label), label.verdict


def undo(collection: CollectionFolder, numbers: Iterable[int] | None = None) -> list[str]:
    """Take labels back. They stay in the tables, marked as undone.

    Args:
        numbers: of labels; None takes back those of the latest step: all that were entered together.

    Returns:
        a description of each label that was taken back.

    Raises:
        DataError: a number that no label has, or whose label is undone already; or there is none to take back.
    """
    tables = collection.tables
    with collection.transaction():
        chosen = _latest_step(collection) if numbers is None else list(numbers)
        if not chosen:
            raise DataError(f"{collection.folder}: no label to take back")
        told = []
        for number in chosen:
            row = tables.execute(
                "SELECT label, verdict, start_s, end_s, path, undone_at FROM labels "
                "JOIN recordings ON recordings.id = recording WHERE labels.id = ?",
                (number,),
            ).fetchone()
            if row is None or row["undone_at"] is not None:
                raise DataError(f"{collection.folder}: label {number} is {'undone already' if row else 'not there'}")
            tables.execute("UPDATE labels SET undone_at = ? WHERE id = ?", (now(), number))
            told.append(f"{row['path']} {row['start_s']:g}-{row['end_s']:g} s {row['label']}: {row['verdict']}")
    return told


def _latest_step(collection: CollectionFolder) -> list[int]:
    """List the labels that were entered together with the latest one that counts."""
    rows = collection.tables.execute(
        "SELECT id FROM labels WHERE undone_at IS NULL AND at = "
        "(SELECT at FROM labels WHERE undone_at IS NULL ORDER BY id DESC LIMIT 1) ORDER BY id"
    )
    return [row["id"] for row in rows]


def count_labels(collection: CollectionFolder) -> list[LabelCount]:
    """Count the labels of recordings that are present, by name, in the order of names."""
    rows = collection.tables.execute(
        "SELECT label, sum(verdict = 'yes') AS yes, sum(verdict = 'no') AS no, sum(verdict = 'unsure') AS unsure, "
        "count(DISTINCT recording) AS recordings FROM labels JOIN recordings ON recordings.id = recording "
        "WHERE undone_at IS NULL AND removed_at IS NULL GROUP BY label ORDER BY label"
    )
    return [LabelCount(*row) for row in rows]


def list_statements(collection: CollectionFolder, label: str) -> list[str]:
    """Describe all that is said about a label and not undone, by recording and time, one line each.

    Raises:
        DataError: no recording that is present has that label.
    """
    find_statements(collection, label)
    rows = collection.tables.execute(
        "SELECT labels.id, path, start_s, end_s, verdict, author, at FROM labels "
        "JOIN recordings ON recordings.id = recording WHERE label = ? AND undone_at IS NULL AND removed_at IS NULL "
        "ORDER BY path, start_s, labels.id",
        (label,),
    )
    return [
        f"{row['id']:6d}  {row['verdict']:6}  {row['path']}@{row['start_s']:g}-{row['end_s']:g}  "
        f"{row['author']}, {row['at']}"
        for row in rows
    ]


def find_statements(collection: CollectionFolder, label: str) -> dict[int, list[Statement]]:
    """List what a label says, by recording, in the order in which it was said; what was undone is left out.

    Raises:
        DataError: no recording that is present has that label.
    """
    rows = collection.tables.execute(
        "SELECT recording, start_s, end_s, verdict FROM labels JOIN recordings ON recordings.id = recording "
        "WHERE label = ? AND undone_at IS NULL AND removed_at IS NULL ORDER BY labels.id",
        (label,),
    )
    found: dict[int, list[Statement]] = defaultdict(list)
    for row in rows:
        found[row["recording"]].append(Statement(row["start_s"], row["end_s"], row["verdict"]))
    if not found:
        known = [count.label for count in count_labels(collection)]
        close = difflib.get_close_matches(label, known) or known
        raise DataError(
            f"{collection.folder}: no label {label!r}; it has {name_some(close) or 'none: axlstm label import'}"
        )
    return dict(found)

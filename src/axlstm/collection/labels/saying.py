"""Say whether labels are heard: in a stretch that is named, or in several at once."""

from __future__ import annotations

import os
from collections.abc import Sequence

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.alike import hint_recording
from axlstm.collection.labels.table import Label, add_labels, check_name, default_author, find_durations, find_recording
from axlstm.collection.stretches import hint_stretch
from axlstm.errors import DataError
from axlstm.options import Verdict


def say(
    collection: CollectionFolder,
    recording: str | os.PathLike[str],
    label: str,
    start_s: float | None,
    end_s: float | None,
    *,
    verdict: Verdict,
    author: str,
) -> int:
    """Give one label; see `Collection.label`."""
    number = find_recording(collection, os.fspath(recording))
    if number is None:
        name = os.fspath(recording)
        hint = hint_stretch(name) or hint_recording(collection, name)
        raise DataError(f"{name}: no recording of {collection.folder}{hint}")
    end_s = find_durations(collection)[number] if end_s is None else end_s
    return say_all(collection, [(number, start_s or 0.0, end_s)], label, verdict=verdict, author=author)[0]


def say_all(
    collection: CollectionFolder,
    stretches: Sequence[tuple[int, float, float]],
    label: str,
    *,
    verdict: Verdict,
    author: str = "",
) -> list[int]:
    """Say the same about several stretches in one step, and return the numbers of the statements.

    What was said last about a label in a recording, by the same author, is not entered again.

    Args:
        stretches: number of the recording, start and end in seconds.
        author: who says so; empty for the name of the user.

    Raises:
        DataError: as `axlstm.collection.labels.table.add_labels`.
    """
    author = author or default_author()
    try:
        label = check_name(label)
    except ValueError as error:
        raise DataError(f"{collection.folder}: {error}") from error
    numbers: list[int | None] = []
    new: list[tuple[Label, str, str]] = []
    for recording, start_s, end_s in stretches:
        latest = _latest_statement(collection, recording, label)
        if latest is not None and latest[1:] == (start_s, end_s, verdict, author):
            numbers.append(latest[0])
            continue
        numbers.append(None)
        new.append((Label(recording, start_s, end_s, label, verdict), author, "given"))
    entered = iter(add_labels(collection, new) if new else [])
    return [next(entered) if number is None else number for number in numbers]


def _latest_statement(
    collection: CollectionFolder, recording: int, label: str
) -> tuple[int, float, float, str, str] | None:
    """Return the latest word on a label in a recording: its number, stretch, verdict and author."""
    row = collection.tables.execute(
        "SELECT id, start_s, end_s, verdict, author FROM labels "
        "WHERE recording = ? AND label = ? AND undone_at IS NULL ORDER BY id DESC LIMIT 1",
        (recording, label),
    ).fetchone()
    return None if row is None else tuple(row)

"""Take the recordings, vectors and labels of one collection over into another one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from axlstm.collection.changes import MOST_ROWS, add_part, changing, find_fault, list_parts, merge_small, part_folder
from axlstm.collection.folder import CollectionFolder, EncoderEntry, Span, now
from axlstm.collection.parts import Waiting
from axlstm.collection.recordings import recorded_of
from axlstm.collection.statistics import renew_statistics
from axlstm.errors import ConfigError, DamageError

_FACTS = (
    "size_bytes, modified, quick_digest, digest, duration_s, sample_rate_hz, channels, recorded_at, latitude, "
    "longitude, device, metadata"
)
_LABEL = "start_s, end_s, low_hz, high_hz, label, verdict, author, source, at"


@dataclass(frozen=True)
class Merged:
    """Counts of what came from the other collection.

    ``renamed`` are encoders whose names were taken: theirs, and what they are called now. ``other_content`` are paths
    at which the collection has another content; theirs came as removed recordings, for their labels.
    """

    recordings: int
    shared: int  # that were there with the same content
    windows: int
    labels: int  # that are in force
    renamed: tuple[tuple[str, str], ...]
    other_content: tuple[str, ...]


def merge(into: CollectionFolder, other: CollectionFolder) -> Merged:
    """Take everything over but queries. What is there already stays once, so that the same call goes on after a kill.

    Recordings are the same if their content is, encoders if their fingerprint and windows are. Paths are those on the
    disk: below the root of ``into``, or absolute.

    Raises:
        ConfigError: a collection and itself.
        DamageError: a part of the other collection is damaged; nothing is taken over then.
        InUseError: another process changes one of them.
        WriteError: the disk is full or fails.
    """
    if into.folder.resolve() == other.folder.resolve():
        raise ConfigError(f"{into.folder} and {other.folder} are one collection; expected two different ones")
    with other.alone(), changing(into):
        for part in list_parts(other):
            if fault := find_fault(other, part):
                raise DamageError(f"{fault}; delete it, and axlstm index -o {other.folder} embeds its recordings again")
        with into.transaction():
            encoders, renamed = _take_encoders(into, other)
            numbers, taken, shared, other_content = _take_recordings(into, other)
            labels = _take_labels(into, other, numbers)
        windows = 0
        for entry in other.encoders():
            windows += _take_windows(into, other, entry, encoders[entry.id], numbers)
            merge_small(into, encoders[entry.id])
            renew_statistics(into, encoders[entry.id])
    return Merged(taken, shared, windows, labels, tuple(renamed), tuple(other_content))


def _take_encoders(
    into: CollectionFolder, other: CollectionFolder
) -> tuple[dict[int, EncoderEntry], list[tuple[str, str]]]:
    """Give for each number of an encoder there the encoder here, and the names that changed."""
    here: dict[int, EncoderEntry] = {}
    renamed = []
    for theirs in other.encoders():
        known = {entry.name: entry for entry in into.encoders()}
        key = (theirs.fingerprint, theirs.window_s, theirs.hop_s)
        same = [entry for entry in known.values() if (entry.fingerprint, entry.window_s, entry.hop_s) == key]
        if same:
            here[theirs.id] = same[0]
            continue
        name, count = theirs.name, 1
        while name in known:
            count += 1
            name = f"{theirs.name}-{count}"
        renamed += [(theirs.name, name)] if name != theirs.name else []
        into.tables.execute(
            "INSERT INTO encoders (name, source, fingerprint, size, window_s, hop_s, options, added_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (name, theirs.source, theirs.fingerprint, theirs.size, *key[1:], json.dumps(theirs.options), now()),
        )
        here[theirs.id] = into.encoder(name)
    return here, renamed


def _take_recordings(into: CollectionFolder, other: CollectionFolder) -> tuple[dict[int, int], int, int, list[str]]:
    """Give for each number of a recording there the number here, how many came, how many were here, and conflicts.

    A recording that was removed here and is present there comes back, under its path there.
    """
    tables = into.tables
    rows = tables.execute("SELECT id, path, digest, removed_at FROM recordings ORDER BY removed_at IS NOT NULL, id")
    by_digest: dict[str, int] = {}
    present, paths = set(), set()
    for row in rows.fetchall():
        by_digest.setdefault(row["digest"], row["id"])
        if row["removed_at"] is None:
            present.add(row["id"])
            paths.add(row["path"])
    numbers, taken, shared, conflicts = {}, 0, 0, []
    theirs = other.tables.execute(
        f"SELECT id, path, removed_at, {_FACTS} FROM recordings WHERE removed_at IS NULL "
        "OR id IN (SELECT recording FROM labels) ORDER BY removed_at IS NOT NULL, id"
    ).fetchall()
    names = into.names_of(other.places_of(row["path"] for row in theirs))
    for row, path in zip(theirs, names, strict=True):
        number, removed_at = by_digest.get(row["digest"]), row["removed_at"]
        if number is not None:
            numbers[row["id"]] = number
            _fill_columns(into, number, row)
            if number in present or removed_at is not None:
                shared += removed_at is None
                continue
        if removed_at is None and path in paths:
            conflicts.append(path)
            removed_at = now()
        if number is None:
            facts = [row[name] for name in _FACTS.split(", ")]
            cursor = tables.execute(
                f"INSERT INTO recordings (path, removed_at, added_at, {_FACTS}) VALUES (?, ?, ?{', ?' * len(facts)})",
                (path, removed_at, now(), *facts),
            )
            number = numbers[row["id"]] = by_digest[row["digest"]] = int(cursor.lastrowid or 0)
        elif removed_at is None:
            values = (path, row["modified"], number)
            tables.execute("UPDATE recordings SET removed_at = NULL, path = ?, modified = ? WHERE id = ?", values)
        if removed_at is None:
            taken += 1
            present.add(number)
            paths.add(path)
    return numbers, taken, shared, conflicts


def _fill_columns(into: CollectionFolder, number: int, theirs: sqlite3.Row) -> None:
    """Take over what is known of a recording there and not here: when, where and by what, and metadata."""
    ours = into.tables.execute("SELECT * FROM recordings WHERE id = ?", (number,)).fetchone()
    both = recorded_of(into, ours).over(recorded_of(into, theirs))
    values = (both.recorded_at, both.latitude, both.longitude, both.device, json.dumps(both.metadata), number)
    into.tables.execute(
        "UPDATE recordings SET recorded_at = ?, latitude = ?, longitude = ?, device = ?, metadata = ? WHERE id = ?",
        values,
    )


def _take_labels(into: CollectionFolder, other: CollectionFolder, numbers: dict[int, int]) -> int:
    """Add the labels that are not here, and count those in force. One taken back in one of the two is taken back."""
    names = _LABEL.split(", ")
    same = " AND ".join(f"{name} IS ?" for name in names)
    count = 0
    for row in other.tables.execute(f"SELECT recording, {_LABEL}, undone_at FROM labels ORDER BY id"):
        values = (numbers[row["recording"]], *(row[name] for name in names))
        here = into.tables.execute(f"SELECT id FROM labels WHERE recording = ? AND {same}", values).fetchone()
        if here is None:
            marks = ", ".join("?" * (len(values) + 1))
            entered = (*values, row["undone_at"])
            into.tables.execute(f"INSERT INTO labels (recording, {_LABEL}, undone_at) VALUES ({marks})", entered)
            count += row["undone_at"] is None
        else:
            taken_back = (row["undone_at"], here["id"])
            into.tables.execute("UPDATE labels SET undone_at = ifnull(undone_at, ?) WHERE id = ?", taken_back)
    return count


def _take_windows(
    into: CollectionFolder, other: CollectionFolder, theirs: EncoderEntry, ours: EncoderEntry, numbers: dict[int, int]
) -> int:
    """Copy the windows of recordings that have none here, and that are present."""
    present = {row["id"] for row in into.tables.execute("SELECT id FROM recordings WHERE removed_at IS NULL")}
    have = {span.recording for span in into.spans(ours)}
    wanted = []
    spans, parts = other.map_spans(theirs)
    for span in spans:
        number = numbers[span.recording]
        if number in present and number not in have:
            have.add(number)
            wanted.append((number, span))
    done = 0
    while wanted:
        rows, count = 0, 0
        while count < len(wanted) and (not count or rows + wanted[count][1].rows <= MOST_ROWS):
            rows += wanted[count][1].rows
            count += 1
        chosen, wanted = wanted[:count], wanted[count:]

        def enter(part: int, chosen: Sequence[tuple[int, Span]] = chosen) -> None:
            first = 0
            for number, span in chosen:
                values = (number, ours.id, part, first, span.rows)
                into.tables.execute("INSERT INTO spans VALUES (?, ?, ?, ?, ?)", values)
                first += span.rows

        with Waiting(ours.size, part_folder(into)) as waiting:
            for number, span in chosen:
                own = other.cut(parts[span.part][1], span)
                waiting.add(replace(own, recording=np.full(span.rows, number)))
            add_part(into, ours.id, waiting.rows(), enter)
        done += rows
    return done

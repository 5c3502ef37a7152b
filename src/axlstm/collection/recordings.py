"""Know recordings again: those that are as they were, that have changed, that have moved, and that are gone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from axlstm.collection.folder import CollectionFolder, now
from axlstm.collection.headers import Recorded
from axlstm.errors import AudioError
from axlstm.files import is_file, is_gone
from axlstm.store.origin import KnownFiles, Origin, content_digest
from axlstm.threads import on_all_cores


@dataclass(frozen=True)
class Recording:
    """A recording that is present in the tables, whether its file is there or not."""

    id: int
    path: str
    origin: Origin  # whose place is the path


@dataclass(frozen=True)
class Sorted:
    """Files by what the collection has of them, each by its path there."""

    unchanged: Mapping[str, Recording]
    moved: Mapping[str, Recording]
    changed: Mapping[str, Recording]  # with other content; the recording is the earlier one
    new: Sequence[str]
    gone: Sequence[Recording]  # of the collection, not on the disk


def list_recordings(collection: CollectionFolder) -> dict[str, Recording]:
    """List the recordings that are present, by their paths."""
    rows = collection.tables.execute(
        "SELECT id, path, size_bytes, modified, quick_digest, digest FROM recordings "
        "WHERE removed_at IS NULL ORDER BY id"
    ).fetchall()
    if any("\0" in row["path"] for row in rows):
        raise collection.damage("a path with a zero in it")
    return {
        row["path"]: Recording(
            row["id"],
            row["path"],
            _origin_of(row),
        )
        for row in rows
    }


def list_removed(collection: CollectionFolder) -> list[str]:
    """List the paths of the recordings that are removed."""
    rows = collection.tables.execute("SELECT DISTINCT path FROM recordings WHERE removed_at IS NOT NULL ORDER BY path")
    return [row["path"] for row in rows]


def sort_files(collection: CollectionFolder, files: Mapping[str, Path]) -> Sorted:
    """Compare files with the recordings.

    A file is a recording's if it has its path and content. A recording whose file is gone, or has other content, has
    moved if a file that is nobody's has its content.

    Args:
        files: by their paths in the collection.
    """
    known = list_recordings(collection)
    by_content = KnownFiles((path, recording.origin) for path, recording in known.items())
    held = on_all_cores(lambda name: name in known and by_content.hold(files[name], name), files)
    unchanged = {name: known[name] for name, is_held in zip(files, held, strict=True) if is_held}
    others = [path for path in known if path not in files]
    lost = on_all_cores(is_gone, collection.places_of(others))
    gone = [known[path] for path, is_lost in zip(others, lost, strict=True) if is_lost]
    unmatched = [name for name in files if name not in unchanged]
    homeless = gone + [known[name] for name in unmatched if name in known]
    moved = _match({name: files[name] for name in unmatched}, homeless)
    found = {recording.id for recording in moved.values()}
    rest = [name for name in unmatched if name not in moved]
    changed = {name: known[name] for name in rest if name in known and known[name].id not in found}
    new = [name for name in rest if name not in changed]
    return Sorted(unchanged, moved, changed, new, [recording for recording in gone if recording.id not in found])


def _match(files: Mapping[str, Path], recordings: Iterable[Recording]) -> dict[str, Recording]:
    """Find the recordings that have the content of files, one for each file."""
    by_digest: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_digest.setdefault(recording.origin.digest, []).append(recording)
    sizes = {recording.origin.size_bytes for several in by_digest.values() for recording in several}
    digests = on_all_cores(lambda file: _digest(file, sizes), files.values())
    matched = {}
    for name, digest in zip(files, digests, strict=True):
        if several := by_digest.get(digest):
            matched[name] = several.pop(0)
    return matched


def _digest(file: Path, sizes: set[int]) -> str:
    """Hash the content of a file that has one of the sizes; an empty text for others and what cannot be read."""
    try:
        if file.stat().st_size not in sizes:
            return ""
        with file.open("rb", buffering=0) as opened:
            return content_digest(opened)
    except OSError:
        return ""


def note_places(collection: CollectionFolder, files: Mapping[str, Path], there: Sorted) -> int:
    """Enter the new paths of recordings that moved, and the new times of files that were touched.

    A recording whose path another one has taken over is removed.

    Returns:
        the number of labels of recordings that were removed.
    """
    touched = []
    for name, recording in {**there.unchanged, **there.moved}.items():
        modified = recording.origin.modified
        with suppress(OSError):
            modified = files[name].stat().st_mtime_ns
        if (name, modified) != (recording.path, recording.origin.modified):
            touched.append((name, modified, recording.id))
    if not touched:
        return 0
    moving = {recording.id for recording in there.moved.values()}
    tables, lost = collection.tables, 0
    with collection.transaction():
        aside = "UPDATE recordings SET path = path || char(10) || id WHERE id = ?"
        tables.executemany(aside, [(number,) for number in moving])  # two may have changed places
        for name in there.moved:
            row = tables.execute("SELECT id FROM recordings WHERE path = ? AND removed_at IS NULL", (name,)).fetchone()
            lost += remove_recording(collection, row["id"]) if row is not None else 0
        tables.executemany("UPDATE recordings SET path = ?, modified = ? WHERE id = ?", touched)
    return lost


def current_place(collection: CollectionFolder, recording: int) -> Path:
    """Return where a recording lies, to be read: its windows must be of what is there now.

    Raises:
        AudioError: the file has other content than what was indexed.
    """
    row = collection.tables.execute("SELECT * FROM recordings WHERE id = ?", (recording,)).fetchone()
    return _current(collection, row)


def place_of_path(collection: CollectionFolder, path: str) -> Path:
    """Return where the recording with this path in the collection lies, as `current_place`."""
    query = "SELECT * FROM recordings WHERE path = ? AND removed_at IS NULL"
    return _current(collection, collection.tables.execute(query, (path,)).fetchone())


def _current(collection: CollectionFolder, row: sqlite3.Row) -> Path:
    place = collection.place_of(row["path"])
    if is_file(place) and not KnownFiles([(row["path"], _origin_of(row))]).hold(place, row["path"]):
        raise AudioError(f"{place}: changed since it was indexed; axlstm index embeds it again")
    return place


def _origin_of(row: sqlite3.Row) -> Origin:
    return Origin(row["size_bytes"], row["modified"], row["path"], row["quick_digest"], row["digest"])


def remove_recording(collection: CollectionFolder, recording: int) -> int:
    """Mark a recording as removed and drop its windows, in a transaction of the caller's; its labels stay with it.

    Returns:
        the number of those labels.
    """
    tables = collection.tables
    tables.execute("UPDATE recordings SET removed_at = ? WHERE id = ?", (now(), recording))
    tables.execute("DELETE FROM spans WHERE recording = ?", (recording,))
    labels = tables.execute("SELECT count(*) FROM labels WHERE recording = ? AND undone_at IS NULL", (recording,))
    return int(labels.fetchone()[0])


def add_recording(
    collection: CollectionFolder, number: int, origin: Origin, facts: Mapping[str, Any], recorded: Recorded
) -> None:
    """Enter a recording, in a transaction of the caller's.

    Args:
        origin: whose place is the path in the collection.
        facts: see `axlstm.audio.read.file_facts`.
    """
    values = {
        "id": number,
        "path": origin.place,
        "size_bytes": origin.size_bytes,
        "modified": origin.modified,
        "quick_digest": origin.quick_digest,
        "digest": origin.digest,
        **{name: facts[name] for name in ("duration_s", "sample_rate_hz", "channels")},
        **{name: getattr(recorded, name) for name in ("recorded_at", "latitude", "longitude", "device")},
        "metadata": json.dumps(recorded.metadata),
        "added_at": now(),
    }
    marks = ", ".join(f":{name}" for name in values)
    collection.tables.execute(f"INSERT INTO recordings ({', '.join(values)}) VALUES ({marks})", values)


def find_removed(collection: CollectionFolder, origin: Origin) -> int | None:
    """Find the recording that was removed and had this path and content: it comes back, with its labels."""
    row = collection.tables.execute(
        "SELECT max(id) AS id FROM recordings WHERE digest = ? AND path = ? AND removed_at IS NOT NULL",
        (origin.digest, origin.place),
    ).fetchone()
    return None if row["id"] is None else int(row["id"])


def bring_back(collection: CollectionFolder, number: int, origin: Origin) -> bool:
    """Let a removed recording be present again, in a transaction of the caller's; False if there is none."""
    cursor = collection.tables.execute(
        "UPDATE recordings SET removed_at = NULL, modified = ? WHERE id = ? AND removed_at IS NOT NULL",
        (origin.modified, number),
    )
    return bool(cursor.rowcount)


def known_of(collection: CollectionFolder, recording: int) -> Recorded:
    """Return where a recording was made and what a table said of it, but not when."""
    row = collection.tables.execute("SELECT * FROM recordings WHERE id = ?", (recording,)).fetchone()
    return replace(recorded_of(collection, row), recorded_at=None)


def recorded_of(collection: CollectionFolder, row: sqlite3.Row) -> Recorded:
    """Return when, where and by what a recording was made, of its row in the tables."""
    metadata = collection.metadata_of(row["metadata"])
    return Recorded(row["recorded_at"], row["latitude"], row["longitude"], row["device"], metadata)

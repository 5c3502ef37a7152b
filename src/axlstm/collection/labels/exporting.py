"""Export labels to the files of other programs."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.audacity import write_audacity
from axlstm.collection.labels.folders import write_folders
from axlstm.collection.labels.kaleidoscope import write_kaleidoscope
from axlstm.collection.labels.marks import Facts, Mark
from axlstm.collection.labels.raven import write_raven
from axlstm.collection.labels.tables import write_hear_table, write_table
from axlstm.collection.new_folders import check_is_no_source, new_folder
from axlstm.collection.recordings import place_of_path
from axlstm.errors import DataError, name_some
from axlstm.files import readable_name, write_atomically, writing
from axlstm.options import LabelFormat, check_choice


@dataclass(frozen=True)
class ExportSummary:
    """Counts of the labels and files that were written.

    Args:
        left_out, why: labels that the format has no place for, and the reason.
        missing: why clips of others are missing.
    """

    written: int
    files: int
    left_out: int = 0
    why: str = ""
    missing: tuple[str, ...] = ()


def list_marks(collection: CollectionFolder, labels: Sequence[str] = ()) -> list[Mark]:
    """List the labels of recordings that are present and that are not undone, by recording and time.

    Args:
        labels: names to list; all of them if there are none.

    Raises:
        DataError: a name that no label has.
    """
    rows = collection.tables.execute(
        "SELECT labels.id, path, start_s, end_s, label, verdict, low_hz, high_hz, author FROM labels "
        "JOIN recordings ON recordings.id = recording WHERE undone_at IS NULL AND removed_at IS NULL "
        "ORDER BY path, start_s, end_s, labels.id"
    )
    marks = [Mark(*row) for row in rows]
    unknown = set(labels) - {mark.label for mark in marks}
    if unknown:
        known = name_some(sorted({mark.label for mark in marks})) or "none"
        raise DataError(f"{collection.folder}: no label {', '.join(sorted(unknown))}; it has {known}")
    return [mark for mark in marks if not labels or mark.label in labels]


def find_facts(collection: CollectionFolder) -> dict[str, Facts]:
    """Return what files of labels say about the recordings that are present, by their paths."""
    rows = collection.tables.execute(
        "SELECT path, duration_s, sample_rate_hz FROM recordings WHERE removed_at IS NULL"
    ).fetchall()
    places = collection.places_of(row["path"] for row in rows)
    return {
        row["path"]: Facts(readable_name(place), row["duration_s"], row["sample_rate_hz"])
        for row, place in zip(rows, places, strict=True)
    }


def export_labels(
    collection: CollectionFolder, out: Path, format: LabelFormat, labels: Sequence[str] = ()
) -> ExportSummary:
    """Write the labels of a collection.

    Args:
        out: a file; for ``audacity`` and ``folders`` a folder, which is made.
        labels: names to write; all of them if there are none.

    Raises:
        ConfigError: an unknown format, a folder that is there and is not empty, a sound, or what the format cannot
            have.
        DataError: there are no such labels.
        WriteError: the disk is full or fails.
    """
    check_choice("format", format, LabelFormat)
    check_is_no_source(out)
    marks = list_marks(collection, labels)
    if not marks:
        raise DataError(f"{collection.folder}: no labels to export; axlstm label import or add gives some")
    facts = find_facts(collection)
    if format == "audacity":
        return ExportSummary(len(marks), write_tracks(out, marks, facts))
    if format == "folders":
        with new_folder(out) as folder:
            left_out, missing = write_folders(folder, marks, lambda path: place_of_path(collection, path))
        written = len(marks) - left_out - len(missing)
        return ExportSummary(written, written, left_out, "unsure", tuple(missing))
    left_out, why = 0, ""
    if format == "raven":
        authors = [mark.author or "" for mark in marks]
        text = write_raven(marks, facts, {"Verdict": [str(mark.verdict) for mark in marks], "Author": authors})
    elif format == "kaleidoscope":
        text = write_kaleidoscope(marks, facts)
    elif format == "hear":
        groups = {path: PurePosixPath(path).parent.name or path for path in facts}
        text, left_out = write_hear_table(marks, facts, groups)
        why = "no yes"
    else:
        text = write_table(marks)
    write_atomically(out, text.encode())
    return ExportSummary(len(marks) - left_out, 1, left_out, why)


def write_tracks(folder: Path, marks: Sequence[Mark], recordings: Iterable[str]) -> int:
    """Write the tracks of `make_tracks` into a folder, below the same folders, and count them.

    Raises:
        ConfigError: the folder is there and is not empty.
        WriteError: the disk is full or fails.
    """
    tracks = make_tracks(marks, recordings)
    with new_folder(folder) as made:
        for name, text in tracks.items():
            with writing(folder):
                (made / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(made / name, text.encode())
    return len(tracks)


def make_tracks(marks: Sequence[Mark], recordings: Iterable[str]) -> dict[str, str]:
    """Make a label track for each recording of marks: texts by names of files.

    A track is named as its recording without the suffix, or with it where another recording has the same name.

    Args:
        recordings: paths of all recordings.
    """
    by_recording: Mapping[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        by_recording[str(mark.recording)].append(mark)
    names = _name_tracks(by_recording, recordings)
    return {names[path]: write_audacity(own) for path, own in by_recording.items()}


def _name_tracks(labelled: Iterable[str], recordings: Iterable[str]) -> dict[str, str]:
    """Name the track of each recording, relative to the folder of the tracks, so that no two have one name."""
    places = {path: _inside(path) for path in (*recordings, *labelled)}
    stems = Counter(_stem(place) for place in places.values())
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in labelled:
        place = places[path]
        base = str(place if stems[_stem(place)] > 1 else place.with_suffix(""))
        name, count = base, 2
        while name.casefold() in taken:
            name, count = f"{base}_{count}", count + 1
        names[path] = f"{name}.txt"
        taken.add(name.casefold())
    return names


def _stem(place: PurePosixPath) -> str:
    """Return the path without its suffix, as disks compare it that do not tell A from a."""
    return str(place.with_suffix("")).casefold()


def _inside(path: str) -> PurePosixPath:
    """Return the path of a recording as one that leads nowhere out of the folder that it is put behind."""
    place = PureWindowsPath(path) if os.name == "nt" else PurePosixPath(path)
    return PurePosixPath(*(part for part in place.parts if part not in ("..", place.anchor)))

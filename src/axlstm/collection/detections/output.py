"""Write detections: CSV, parquet, selection tables of Raven, label tracks of Audacity, CSV of Kaleidoscope."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import get_args

from axlstm.collection.labels.exporting import make_tracks, write_tracks
from axlstm.collection.labels.kaleidoscope import FOUND, write_kaleidoscope
from axlstm.collection.labels.marks import Facts, Mark
from axlstm.collection.labels.raven import write_raven
from axlstm.collection.new_folders import check_is_new, check_is_no_source
from axlstm.errors import ConfigError, DataError
from axlstm.files import atomic_path, write_atomically
from axlstm.options import DetectionFormat, check_choice

_GROUP_ROWS = 65_536


@dataclass(frozen=True)
class Detection:
    """A stretch of a recording in which a classifier heard a label.

    Args:
        path: of the recording, as it was named, or as a collection has it.
        score: the highest probability of the windows in it.
        recorded_at: when it begins, as ISO 8601; None where that is not known.
    """

    path: str
    label: str
    start_s: float
    end_s: float
    score: float
    recorded_at: str | None = None


COLUMNS = tuple(one.name for one in fields(Detection))


def choose_format(out: Path, format: DetectionFormat | None) -> DetectionFormat:
    """Choose the format of a file of detections by its name, if none is asked for.

    Raises:
        ConfigError: an unknown format, or a name that does not tell.
    """
    if format is None:
        if out.suffix.lower() not in (".csv", ".parquet"):
            expected = ", ".join(get_args(DetectionFormat))
            raise ConfigError(
                f"{out}: its name tells no format; end it with .csv or .parquet, or say --format {expected}"
            )
        format = "csv" if out.suffix.lower() == ".csv" else "parquet"
    chosen: DetectionFormat = check_choice("format", format, DetectionFormat)
    return chosen


def write_detections(
    out: Path, format: DetectionFormat, detections: Iterable[Detection], facts: Mapping[str, Facts]
) -> None:
    """Write detections in the order in which they come. CSV and parquet hold few of them in memory, the others all.

    Args:
        out: a file; for ``audacity`` a folder, with a label track for each recording with detections.
        facts: of all recordings, by their paths.

    Raises:
        ConfigError: a folder that is there and holds something else, or a path that Raven's tables cannot hold.
        WriteError: the disk is full or fails.
    """
    if format == "csv":
        _write_csv(out, detections)
        return
    if format == "parquet":
        _write_parquet(out, detections)
        return
    found = list(detections)
    marks = [_mark(index, one) for index, one in enumerate(found, start=1)]
    if format == "audacity":
        _write_tracks(out, marks, facts)
        return
    more = {"Score": [f"{one.score:.6f}" for one in found], "Recorded At": [one.recorded_at or "" for one in found]}
    if format == "raven":
        text = write_raven(marks, facts, more)
    else:
        text = write_kaleidoscope(marks, facts, {FOUND: [one.label for one in found], **more})
    write_atomically(out, text.encode())


def _mark(number: int, detection: Detection) -> Mark:
    stretch = (detection.path, detection.start_s, detection.end_s)
    return Mark(number, *stretch, detection.label, score=detection.score)


def _write_csv(out: Path, detections: Iterable[Detection]) -> None:
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in detections:
            times = (f"{one.start_s:.3f}", f"{one.end_s:.3f}")
            writer.writerow([one.path, one.label, *times, f"{one.score:.6f}", one.recorded_at or ""])


def _write_parquet(out: Path, detections: Iterable[Detection]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.string(), pa.string(), pa.float64(), pa.float64(), pa.float64(), pa.string())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    rows = iter(detections)
    with (
        atomic_path(out) as temporary,
        pa.OSFile(os.fsencode(temporary), "w") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        while group := [astuple(one) for one in islice(rows, _GROUP_ROWS)]:
            columns = [pa.array(values, kind) for values, kind in zip(zip(*group, strict=True), kinds, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))


def check_out(out: Path, format: DetectionFormat) -> None:
    """Refuse a sound, and a folder that holds anything but label tracks, before anything is computed.

    Raises:
        ConfigError: it is one.
    """
    check_is_no_source(out)
    if format == "audacity" and any(name.suffix != ".txt" for name in _list_files(out)):
        check_is_new(out)


def _write_tracks(out: Path, marks: Sequence[Mark], facts: Mapping[str, Facts]) -> None:
    """Write label tracks. Where a run before has written the same ones, they are left as they are."""
    names = _name_below(facts)
    marks = [replace(mark, recording=names[str(mark.recording)]) for mark in marks]
    there = _list_files(out)
    if not there:
        write_tracks(out, marks, names.values())
        return
    tracks = make_tracks(marks, names.values())
    try:
        if {path.relative_to(out).as_posix(): path.read_bytes() for path in there} == {
            name: text.encode() for name, text in tracks.items()
        }:
            return
    except OSError as error:
        raise DataError(f"{out}: cannot be read ({error.strerror})") from error
    raise ConfigError(f"{out}: other label tracks are there already; choose a folder that is not there or is empty")


def _name_below(facts: Mapping[str, Facts]) -> dict[str, str]:
    """Name recordings by their paths; below the folder that all share, if some are absolute or lead upwards."""
    paths = {path: PurePosixPath(path) for path in facts}
    if any(path.is_absolute() or ".." in path.parts for path in paths.values()):
        places = {path: Path(own.place) for path, own in facts.items()}
        with suppress(ValueError):  # of several disks
            shared = os.path.commonpath([place.parent for place in places.values()])
            return {path: place.relative_to(shared).as_posix() for path, place in places.items()}
    return {path: path for path in facts}


def _list_files(out: Path) -> list[Path]:
    if not out.is_dir():
        check_is_new(out)
    return [path for path in out.rglob("*") if not path.is_dir()]

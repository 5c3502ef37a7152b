"""Read folders as classes, BirdNET-Analyzer's way, and write them: clips of each label in a folder of its name.

``wren,robin`` is both labels, ``-wren`` says no to one, and clips in ``noise``, ``background``, ``other`` and
``silence`` are of none of the labels that the other folders name (BirdNET-Analyzer, ``train/utils.py`` and
``config.py``). Clips that were cut from recordings are listed in ``clips.csv`` beside the folders, so that a clip that
somebody moves to another folder still says which stretch of which recording it is.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from axlstm.audio.find import EXTENSIONS
from axlstm.collection.labels.marks import Mark, Reading, parse_number, read_rows, read_text, times_of
from axlstm.collection.stretches import Stretch, write_stretch
from axlstm.errors import AudioError, ConfigError, DataError, describe_error
from axlstm.files import write_atomically, writing
from axlstm.options import Verdict

CLIPS = "clips.csv"
NOTHING = ("noise", "background", "other", "silence")
"""Folders of clips that have none of the labels."""

_COLUMNS = ("clip", "path", "start_s", "end_s", "low_hz", "high_hz")


def has_clips(folder: Path) -> bool:
    """Tell whether a folder holds folders with sounds."""
    return any(file.suffix.lower() in EXTENSIONS for file in folder.glob("*/*"))


def read_folders(folder: Path) -> Reading:
    """Read the clips in the folders of a folder; the faults' lines count the clips.

    Raises:
        DataError: there are no such folders, or their list of clips cannot be read.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise DataError(f"{folder}: no folders in it; expected one for each label, with its clips")
    known = _read_clips(folder / CLIPS)
    named = {name for path in classes for name, verdict in _labels_of(path.name) if verdict == "yes"}
    reading = Reading(folder)
    number = 0
    for path in classes:
        labels = _labels_of(path.name)
        if path.name.lower() in NOTHING:
            labels = [(name, "no") for name in sorted(named)]
        for file in sorted(path.iterdir()):
            if file.name.startswith("."):
                continue
            if not file.is_file() or file.suffix.lower() not in EXTENSIONS:
                reading.passed["entries that are no sound"] += 1
                continue
            number += 1
            place, start_s, end_s, low_hz, high_hz = known.get(
                file.name, (str(file.absolute()), None, None, None, None)
            )
            for name, verdict in labels:
                reading.add(Mark(number, place, start_s, end_s, name, verdict, low_hz, high_hz))
    return reading


def _labels_of(folder: str) -> list[tuple[str, Verdict]]:
    if folder.lower() in NOTHING:
        return []
    names = [name.strip() for name in folder.split(",") if name.strip()]
    return [(name[1:], "no") if name.startswith("-") else (name, "yes") for name in names]


_Clip = tuple[str, float | None, float | None, float | None, float | None]


def _read_clips(path: Path) -> dict[str, _Clip]:
    """Read which stretch of which recording each clip is, by its name."""
    if not path.is_file():
        return {}
    clips: dict[str, _Clip] = {}
    for line, row in read_rows(path, read_text(path), ","):
        try:
            if not set(_COLUMNS) <= row.keys():
                raise ValueError(f"expected the columns {', '.join(_COLUMNS)}")
            times = (parse_number(row["start_s"], "start_s"), parse_number(row["end_s"], "end_s"))
            band = [parse_number(row[name], name) if row[name] else None for name in ("low_hz", "high_hz")]
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
        clips[row["clip"]] = (row["path"], *times, band[0], band[1])
    return clips


def write_folders(folder: Path, marks: Sequence[Mark], place_of: Callable[[str], Path]) -> tuple[int, list[str]]:
    """Write the clip of each mark into the folder of its label, and the list of clips.

    A no goes to a folder with ``-`` before the label. What is unsure is left out: such folders do not have it.

    Args:
        place_of: tells where a recording lies; may raise an `AudioError`.

    Returns:
        how many are left out, and why the clips of others are missing: recordings that cannot be read.

    Raises:
        ConfigError: a label that no folder can be named by.
        WriteError: the disk is full or fails.
    """
    said = [mark for mark in marks if mark.verdict != "unsure"]
    names = {mark.label: _check_folder(mark.label) for mark in said}
    clips: list[tuple[str, Mark]] = []
    missing: list[str] = []
    taken: dict[str, tuple[object, ...]] = {}
    for mark in said:
        recording, (start_s, end_s) = str(mark.recording), times_of(mark)
        stem = re.sub(r"[^\w.-]", "_", Path(recording).stem)[:80]
        clip, count = f"{stem}_{start_s:.3f}-{end_s:.3f}.wav", 2
        said_of = (recording, start_s, end_s, mark.low_hz, mark.high_hz)  # which the list of clips has once for a clip
        while taken.setdefault(clip, said_of) != said_of:
            clip, count = f"{stem}_{start_s:.3f}-{end_s:.3f}_{count}.wav", count + 1
        below = folder / (names[mark.label] if mark.verdict == "yes" else f"-{names[mark.label]}")
        with writing(below):
            below.mkdir(parents=True, exist_ok=True)
        try:
            write_stretch(below / clip, place_of(recording), Stretch(start_s, end_s))
        except (AudioError, OSError) as error:
            missing.append(f"{mark.label} at {start_s:g} s: {describe_error(error)}")
        else:
            clips.append((clip, mark))
    list_clips(folder, clips)
    return len(marks) - len(said), missing


def list_clips(folder: Path, clips: Sequence[tuple[str, Mark]]) -> None:
    """Write the list of clips in a folder: of each, its name, and the mark that it was cut at."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for clip, mark in clips:
        start_s, end_s = times_of(mark)
        band = ["" if value is None else f"{value:.3f}" for value in (mark.low_hz, mark.high_hz)]
        writer.writerow([clip, mark.recording, f"{start_s:.6f}", f"{end_s:.6f}", *band])
    write_atomically(folder / CLIPS, out.getvalue().encode())


def _check_folder(label: str) -> str:
    if label.startswith(("-", ".")) or re.search(r'[/\\,:*?"<>|]', label) or label.lower() in NOTHING:
        raise ConfigError(
            f"label {label!r}: no folder of a class can have this name, which would mean something else; export it in "
            "another format"
        )
    return label

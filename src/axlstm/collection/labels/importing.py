"""Import labels from files: all of them, or none if anything about one of them is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.alike import find_alike
from axlstm.collection.labels.audacity import read_audacity
from axlstm.collection.labels.folders import has_clips, read_folders
from axlstm.collection.labels.hear import is_task, read_hear
from axlstm.collection.labels.judgements import SAME_S
from axlstm.collection.labels.kaleidoscope import is_kaleidoscope, read_kaleidoscope
from axlstm.collection.labels.marks import Facts, Mark, Reading, read_text
from axlstm.collection.labels.matching import Recordings
from axlstm.collection.labels.raven import is_raven, read_raven
from axlstm.collection.labels.sequences import Placed, place_in_sequence, place_named
from axlstm.collection.labels.table import (
    Label,
    add_labels,
    check_author,
    check_label,
    default_author,
)
from axlstm.collection.labels.tables import is_table, read_table
from axlstm.errors import ConfigError, DataError, name_some
from axlstm.files import is_file, readable_name
from axlstm.options import LabelFormat, Verdict, check_choice

_TEXTS = ("audacity", "raven")  # formats of which a folder may hold many files
_UNKNOWN = "of recordings that the collection does not have"


@dataclass(frozen=True)
class ImportSummary:
    """Account of the labels in files: read = entered + there + the sum of passed.

    Args:
        there: labels that the collection had already, the same in everything.
        passed: rows that were passed over, by reason.
        recordings: number of recordings that the labels entered are of.
        by_name_alone: names in files whose folders say nothing of the recording that was taken, and its path.
        labels: names of the labels entered.
        verdicts: how many of them are each verdict.
        scored: how many of them have a score of a search or a classifier, and nobody's verdict; they became a yes.
        alike: new names of labels, each with one like it that was there before.
    """

    files: int
    entered: int
    there: int
    passed: dict[str, int]
    recordings: int
    by_name_alone: dict[str, str]
    labels: tuple[str, ...]
    verdicts: Mapping[Verdict, int]
    scored: int
    alike: Mapping[str, str]


@dataclass(frozen=True)
class ImportOptions:
    """Options for reading files of labels.

    Args:
        format: None tells it from each file.
        column: that holds the labels.
        label: of all rows, in place of those that the file has.
        recordings: that files are of which name none, in the order that their times run through them.
        known_only: pass over labels of recordings that the collection does not have, in place of importing nothing.
        author: who gave the labels, where a file does not say; empty for the user's name.
    """

    format: LabelFormat | None = None
    column: str | None = None
    label: str | None = None
    recordings: tuple[str, ...] = ()
    known_only: bool = False
    author: str = ""


@dataclass(frozen=True)
class _Entry:
    """A label that is to be entered."""

    label: Label
    author: str
    source: str
    is_scored: bool


def import_labels(
    collection: CollectionFolder, files: Iterable[Path], options: ImportOptions | None = None
) -> ImportSummary:
    """Import the labels of files, in one step that `axlstm.collection.labels.table.undo` takes back.

    Args:
        files: tables, label tracks, folders of them, and folders of classes or HEAR tasks.

    Raises:
        DataError: a file that cannot be read, or labels that cannot be, with their lines; nothing is imported then.
        ConfigError: options that do not fit.
    """
    options = options or ImportOptions()
    if options.format is not None:
        check_choice("format", options.format, LabelFormat)
    if options.column is not None and options.label is not None:
        raise ConfigError("column and label: the labels are in a column, or are one label for all rows")
    known = _Known(collection, options)
    labels: list[_Entry] = []
    passed: Counter[str] = Counter()
    files = [file for given in files for file in _list_files(given, options)]
    if not files:
        raise ConfigError(
            "no labels to import: name tables, label tracks, or folders of them, of clips or of HEAR tasks"
        )
    for file in files:
        reading = _read(file, options)
        passed += reading.passed
        labels += known.resolve(file, reading, passed)
    fresh = _leave_out_known(collection, labels)
    names = {entry.label.label for entry in fresh}
    alike = find_alike(collection, names)
    add_labels(collection, [(entry.label, entry.author, entry.source) for entry in fresh])
    return ImportSummary(
        len(files),
        len(fresh),
        len(labels) - len(fresh),
        dict(passed),
        len({entry.label.recording for entry in fresh}),
        known.recordings.by_name_alone,
        tuple(sorted(names)),
        Counter(entry.label.verdict for entry in fresh),
        sum(entry.is_scored for entry in fresh),
        alike,
    )


def _leave_out_known(collection: CollectionFolder, entries: Sequence[_Entry]) -> list[_Entry]:
    """Leave out labels that the collection, or an earlier row, has with the same stretch, verdict and author."""
    rows = collection.tables.execute(
        "SELECT recording, label, verdict, author, low_hz, high_hz, start_s, end_s FROM labels WHERE undone_at IS NULL"
    )
    known = {(*row[:6], _bin(row["start_s"]), _bin(row["end_s"])) for row in rows}
    fresh = []
    for entry in entries:
        label = entry.label
        key = (label.recording, label.label, label.verdict, entry.author, label.low_hz, label.high_hz)
        start, end = _bin(label.start_s), _bin(label.end_s)
        near = product((start - 1, start, start + 1), (end - 1, end, end + 1))  # other programs round
        if known.isdisjoint((*key, *bins) for bins in near):
            known.add((*key, start, end))
            fresh.append(entry)
    return fresh


def _bin(time_s: float) -> int:
    """Give a time a number; times that differ by less than half of `SAME_S` have the same one or neighbours."""
    return round(2 * time_s / SAME_S)


def _list_files(path: Path, options: ImportOptions) -> list[Path]:
    """List the label tracks and selection tables in a folder of such, or else what is given."""
    if not path.is_dir() or options.format not in (None, *_TEXTS):
        return [path]
    if options.format is None and (is_task(path) or has_clips(path)):
        return [path]
    texts = sorted(file for file in path.rglob("*.txt") if file.is_file() and not file.name.startswith("."))
    if not texts and options.format is not None:
        raise DataError(f"{path}: no .txt files in it; expected those of {options.format}")
    return texts or [path]


def _read(path: Path, options: ImportOptions) -> Reading:
    """Read a file or folder in the format that was asked for, or that it has."""
    format = options.format
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        if format not in (None, "folders", "hear"):
            raise ConfigError(f"{path}: a folder, and format {format} is of files")
        return read_hear(path) if format == "hear" or (format is None and is_task(path)) else read_folders(path)
    if format == "folders":
        raise ConfigError(f"{path}: a file, and format {format} is of folders")
    text = read_text(path)
    format = format or _detect(path, text)
    if format == "audacity":
        return read_audacity(path, text, label=options.label)
    read = {"raven": read_raven, "kaleidoscope": read_kaleidoscope, "csv": read_table, "hear": read_table}[format]
    return read(path, text, column=options.column, label=options.label)


def _detect(path: Path, text: str) -> LabelFormat:
    if is_raven(text):
        return "raven"
    if is_kaleidoscope(text):
        return "kaleidoscope"
    return "csv" if path.suffix.lower() in (".csv", ".tsv") or is_table(text) else "audacity"


class _Known:
    """The recordings of the collection, and what is known of them."""

    def __init__(self, collection: CollectionFolder, options: ImportOptions) -> None:
        self.collection, self.options = collection, options
        rows = collection.tables.execute(
            "SELECT id, path, duration_s, sample_rate_hz FROM recordings WHERE removed_at IS NULL"
        ).fetchall()
        self.facts = {row["id"]: Facts(row["path"], row["duration_s"], row["sample_rate_hz"]) for row in rows}
        self.durations = {number: facts.duration_s for number, facts in self.facts.items()}
        self.order = [row["id"] for row in sorted(rows, key=lambda row: row["path"])]
        self.by_path = {row["path"]: row["id"] for row in rows}
        self.recordings = Recordings(self.by_path, collection.root)
        try:
            self.sequence = [self.find(name) for name in options.recordings]
        except ValueError as error:
            raise DataError(f"--recordings: {error}") from error

    def find(self, name: str) -> int:
        """Find a recording by the name that a file has for it: of a link, its own or that of what it leads to.

        Raises:
            ValueError: there is none, or several fit.
        """
        path = Path(name)
        if name not in self.by_path and is_file(path):
            known = [place for place in map(self.collection.name_of, (path, path.resolve())) if place in self.by_path]
            if path.is_absolute() and not known:
                raise ValueError(f"no recording {name[:200]!r} in the collection")  # and no other one with its name
            name = known[0] if known else name
        return self.recordings.find(name)

    def resolve(self, file: Path, reading: Reading, passed: Counter[str]) -> list[_Entry]:
        """Turn the marks of a file into labels of recordings.

        Raises:
            DataError: naming the lines of all that cannot be labels.
        """
        faults = list(reading.faults)
        placed, has_unknown = self._find_all(file, reading, passed, faults)
        author = self.options.author or default_author()
        labels = []
        for mark, number in placed:
            try:
                labels.append(
                    _Entry(
                        self._label(mark, number),
                        check_author(mark.author or author),
                        readable_name(file),
                        mark.score is not None,
                    )
                )
            except ValueError as error:
                faults.append((mark.line, str(error)))
        if faults:
            told = [f"line {line}: {reason}" for line, reason in sorted(faults)]
            hint = "; --known-only passes over recordings that are not there" if has_unknown else ""
            raise DataError(f"{file}: nothing is imported: {name_some(told, '; ')}{hint}")
        return labels

    def _find_all(
        self, file: Path, reading: Reading, passed: Counter[str], faults: list[tuple[int, str]]
    ) -> tuple[list[Placed], bool]:
        """Find the recording of each mark, and whether some are not there."""
        found: dict[str, int | str] = {}  # numbers of recordings, or why there is none
        named: list[Placed] = []
        of_file: list[Mark] = []
        for mark in reading.marks:
            if mark.recording is None or (reading.runs_through and self.sequence):
                of_file.append(mark)
                continue
            if mark.recording not in found:
                try:
                    found[mark.recording] = self.find(mark.recording)
                except ValueError as error:
                    found[mark.recording] = str(error)
            number = found[mark.recording]
            if isinstance(number, int):
                named.append((mark, number))
            elif self.options.known_only:
                passed[_UNKNOWN] += 1
            else:
                faults.append((mark.line, number))
        try:
            if reading.runs_through:
                named = place_named(named, self.durations, self.order)
            sequence = self.sequence or ([self.recordings.find_of(file)] if of_file else [])
        except ValueError as error:
            raise DataError(f"{file}: {error}") from error
        for mark in of_file:
            try:
                named.append(place_in_sequence(mark, sequence, self.durations))
            except ValueError as error:
                faults.append((mark.line, str(error)))
        return named, any(isinstance(number, str) for number in found.values())

    def _label(self, mark: Mark, number: int) -> Label:
        facts = self.facts[number]
        start_s, end_s = (0.0, facts.duration_s) if mark.start_s is None else (mark.start_s, mark.end_s)
        assert end_s is not None
        low_hz = mark.low_hz or None
        high_hz = mark.high_hz
        if high_hz is not None and high_hz >= facts.sample_rate_hz / 2 - 1:
            high_hz = None  # all that the recording can hold
        label = Label(number, start_s, end_s, mark.label, mark.verdict, low_hz, high_hz)
        _, start_s, end_s, _, _, name, _ = check_label(label, self.durations)
        return replace(label, start_s=start_s, end_s=end_s, label=name)

"""Read labelled clips: a table, a folder of folders, a HEAR task, a collection."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from axlstm.audio.find import find_audio
from axlstm.collection.classifiers.examples import NO, YES, find_judged
from axlstm.collection.classifiers.folds import find_groups
from axlstm.collection.collection import open as open_collection
from axlstm.collection.description import is_collection
from axlstm.collection.labels.table import count_labels
from axlstm.errors import AudioError, DataError, name_some
from axlstm.evaluate.scoring.events import Event
from axlstm.evaluate.tasks.read import read_task
from axlstm.evaluate.tasks.table import TableClip, read_table
from axlstm.finetuning.clips import VALUE, Clip, ClipEvent, ClipSet
from axlstm.options import TaskKind

_KINDS: dict[str, TaskKind] = {"multiclass": "multiclass", "multilabel": "multilabel", "event": "events"}


def read_clips(data: Path, labels: Iterable[str] = ()) -> ClipSet:
    """Read labelled clips, and say what can be learned of them.

    Args:
        data: a CSV table as `axlstm hear make` takes it, in which neither split nor group is needed, and a column
            ``value`` in place of ``label`` holds numbers to predict; a folder of sounds in folders that are named by
            their label; a HEAR task folder; or a collection.
        labels: of a collection; none for all.

    Raises:
        DataError, TaskError: what cannot be read, or holds no labels; the line or file is named.
    """
    if not data.exists():
        raise DataError(f"{data}: not there; expected a table of clips, a folder, a HEAR task or a collection")
    if data.is_file():
        return _read_table(data)
    if is_collection(data):
        return _read_collection(data, tuple(labels))
    if (data / "task_metadata.json").is_file():
        return _read_task(data)
    return _read_folders(data)


def _read_table(table: Path) -> ClipSet:
    if values := _value_rows(table):
        return values
    clips, kind, column = read_table(table, with_parts=False)
    return _clip_set(str(table), clips, kind, column)


def _value_rows(table: Path) -> ClipSet | None:
    """Read a table of numbers; None for one of labels."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if "path" not in columns or VALUE not in columns or "label" in columns:
                return None
            rows = list(enumerate(reader, start=2))
    except (UnicodeDecodeError, csv.Error):
        return None  # the reader of labels says what is wrong
    splits: dict[str, list[Clip]] = {}
    for line, row in rows:
        path = table.parent / (row["path"] or "")
        if not path.is_file():
            raise DataError(f"{table} line {line}: {path} is not a file")
        try:
            value = float(row[VALUE] or "")
        except ValueError as error:
            raise DataError(f"{table} line {line}: value {row[VALUE]!r}: expected a number") from error
        if not math.isfinite(value):
            raise DataError(f"{table} line {line}: value {row[VALUE]!r}: expected a finite number")
        clip = Clip(path, value=value, group=row.get("group") or str(path))
        splits.setdefault(row.get("split") or "", []).append(clip)
    if not rows:
        raise DataError(f"{table} has no rows")
    return ClipSet(str(table), "regression", (VALUE,), {name: tuple(own) for name, own in splits.items()})


def _clip_set(source: str, clips: Iterable[TableClip], kind: str, column: str) -> ClipSet:
    """Give the labels numbers, and put the clips into their splits."""
    clips, is_event = list(clips), kind == "event"
    names = sorted({item["label"] if is_event else item for clip in clips for item in clip.labels})
    number = {name: place for place, name in enumerate(names)}
    splits: dict[str, list[Clip]] = {}
    for clip in clips:
        events = tuple(
            ClipEvent(number[one.label], one.start_ms, one.end_ms)
            for one in map(Event.from_dict, clip.labels if is_event else ())
        )
        own = {event.label for event in events} if is_event else {number[name] for name in clip.labels}
        made = Clip(
            clip.path,
            labels=tuple(sorted(own)),
            events=events,
            group=str(clip.path) if column == "split" else clip.part,
        )
        splits.setdefault(clip.part if column == "split" else "", []).append(made)
    if not names:
        raise DataError(f"{source}: no clip has a label")
    if column == "split" and (unknown := sorted(set(splits) - {"train", "valid", "test"})):
        raise DataError(f"{source}: split {name_some(unknown)}: expected train, valid or test")
    return ClipSet(source, _KINDS[kind], tuple(names), {name: tuple(own) for name, own in splits.items()})


def _read_folders(folder: Path) -> ClipSet:
    """Read sounds in folders that are named by their label; those of one folder may lie in folders of their own."""
    named = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {path.name: _sounds_in(path) for path in named}
    if empty := [name for name, files in found.items() if not files]:
        raise DataError(
            f"{folder}: no sound in {name_some(empty)}: each folder in it is a label, and needs some; remove the "
            "folder, or put sounds into it"
        )
    if len(found) < 2:
        raise DataError(
            f"{folder}: {len(found)} folders of sounds; expected one for each of two labels or more, a HEAR task "
            "folder (task_metadata.json), a collection, or a table"
        )
    clips = [
        Clip(path, labels=(number,), group=str(path))
        for number, name in enumerate(found)
        for path in sorted(found[name])
    ]
    return ClipSet(str(folder), "multiclass", tuple(found), {"": tuple(clips)})


def _sounds_in(folder: Path) -> list[Path]:
    try:
        return [Path(file) for file in find_audio([folder]).files]
    except AudioError:  # there are none, or it cannot be listed
        return []


def _read_task(folder: Path) -> ClipSet:
    task = read_task(folder)
    metadata, number = task.metadata, {name: place for place, name in enumerate(task.labels)}
    kind: TaskKind = "events" if metadata.is_event else "multiclass" if metadata.is_multiclass else "multilabel"
    splits = {}
    for split, content in task.splits.items():
        audio, clips = task.audio_folder(split), []
        for name, items in content.items():
            if not (audio / name).is_file():
                raise DataError(f"{audio / name} is missing: the task lacks a clip of {split}.json")
            events = tuple(
                ClipEvent(number[one.label], one.start_ms, one.end_ms)
                for one in map(Event.from_dict, items if metadata.is_event else ())
            )
            own = {event.label for event in events} if metadata.is_event else {number[str(item)] for item in items}
            clips.append(Clip(audio / name, labels=tuple(sorted(own)), events=events, group=f"{split}/{name}"))
        splits[split] = tuple(clips)
    folds = tuple((split.train, split.valid, split.test) for split in metadata.data_splits())
    return ClipSet(
        str(folder), kind, tuple(task.labels), splits, score=metadata.primary_score, folds=folds, sparse=True
    )


def _read_collection(folder: Path, asked: tuple[str, ...]) -> ClipSet:
    """Take the windows of a collection that labels say something about; a label is unknown where nothing is said."""
    with open_collection(folder) as collection:
        labels = asked or tuple(sorted(count.label for count in count_labels(collection)))
        if not labels:
            raise DataError(f"{folder}: a collection without labels; axlstm label import enters some")
        searcher = collection.searcher(None)
        searcher.refresh()
        table = searcher.table
        judged = find_judged(collection, table, labels)
        if not len(judged.rows):
            raise DataError(f"{folder}: no window has a label of {name_some(labels)}")
        groups = find_groups(collection, table, judged)
        of_group = groups.of(table, judged.rows)
        names = {row["id"]: row["path"] for row in collection.tables.execute("SELECT id, path FROM recordings")}
        recordings = table.recordings[table.span_of(judged.rows)]
        paths = dict(zip(names, collection.places_of(list(names.values())), strict=True))
        start_s, end_s = table.take_bounds(judged.rows)
        clips = []
        for row, said in enumerate(judged.said):
            clips.append(
                Clip(
                    paths[int(recordings[row])],
                    float(start_s[row]),
                    float(end_s[row]),
                    labels=tuple(np.flatnonzero(said == YES).tolist()),
                    unknown=tuple(np.flatnonzero(said < NO).tolist()),
                    group=groups.names[of_group[row]],
                )
            )
    return ClipSet(str(folder), "multilabel", labels, {"": tuple(clips)})

"""Clips that cannot be learned from are refused, in one line that names what was given."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import soundfile

from axlstm.errors import AxlstmError, DataError
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.finetuning.clips import as_kind
from axlstm.finetuning.reading import ClipReader, check_clips
from axlstm.finetuning.sources import read_clips
from axlstm.finetuning.splits import count_folds, split_clips
from tests.finetuning.made import LABELS, RATE_HZ, sound


def table(folder: Path, rows: list[tuple[str, ...]], columns: str = "path,label,split") -> Path:
    """A table beside a sound for each path that it names."""
    header = tuple(columns.split(","))
    for row in rows:
        if not row[0].startswith("missing"):
            soundfile.write(folder / row[0], sound("low", 0.5, 1), RATE_HZ)
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "table.csv"


SPLITS = [("a.wav", "x", "train"), ("b.wav", "y", "train"), ("c.wav", "x", "valid"), ("d.wav", "y", "test")]
GROUPS = [(f"{number}.wav", "xy"[number % 2], f"site{number // 2}") for number in range(12)]

FAULTS = {
    "a label of the test split alone": (
        [*SPLITS, ("e.wav", "z", "test")],
        "path,label,split",
        r"the split test alone has the label z, which cannot be learned so",
    ),
    "a label of validation and test": (
        [*SPLITS, ("e.wav", "z", "valid"), ("f.wav", "z", "test")],
        "path,label,split",
        r"no training clip has the label z",
    ),
    "one group": (
        [("a.wav", "x", "here"), ("b.wav", "y", "here")],
        "path,label,group",
        r"all 2 clips are of one group \(here\), so that nothing can be held out; expected three groups or more",
    ),
    "a label for each group": (
        [("a.wav", "x", "here"), ("b.wav", "y", "there")],
        "path,label,group",
        r"each label is in one group only",
    ),
    "one label": (
        [("a.wav", "x", "train"), ("b.wav", "x", "valid")],
        "path,label,split",
        r"all clips have the label x; expected two labels or more",
    ),
    "a missing file": (
        [("missing.wav", "x", "train")],
        "path,label,split",
        r"table\.csv line 2: .*missing\.wav is not a file",
    ),
    "another split": ([("a.wav", "x", "dev")], "path,label,split", r"split dev: expected train, valid or test"),
    "no training clip": ([("a.wav", "x", "valid")], "path,label,split", r"no clip to train on"),
    "a number that is none": (
        [("a.wav", "many", "train")],
        "path,value,split",
        r"table\.csv line 2: value 'many': expected a number",
    ),
    "no label at all": ([("a.wav", ";", "train"), ("b.wav", ";;", "valid")], "path,label,split", "no clip has a label"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_learned_from_is_named(name: str, tmp_path: Path) -> None:
    rows, columns, told = FAULTS[name]
    with pytest.raises(AxlstmError, match=told):
        split_clips(read_clips(table(tmp_path, rows, columns)), 0)


def test_an_empty_folder_of_a_label_is_named(clips: Path, tmp_path: Path) -> None:
    shutil.copytree(clips, tmp_path / "sounds", ignore=shutil.ignore_patterns("*.csv"))
    (tmp_path / "sounds" / "silence").mkdir()
    with pytest.raises(DataError, match=r"no sound in silence: each folder in it is a label"):
        read_clips(tmp_path / "sounds")


def test_an_event_beyond_the_end_is_named(tmp_path: Path) -> None:
    rows = [("a.wav", "x", "train", "0", "300"), ("b.wav", "x", "valid", "100", "900")]
    read = read_clips(table(tmp_path, rows, "path,label,split,start_ms,end_ms"))
    assert read.kind == "events"
    parts = split_clips(read, 0)
    from axlstm.audio.logmel import FrontendConfig

    with pytest.raises(DataError, match=r"b\.wav: an event from 100 to 900 ms, but the clip ends at 500 ms"):
        check_clips(ClipReader([*parts.train, *parts.valid], FrontendConfig(), 10))


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    from axlstm.audio.logmel import FrontendConfig

    path = table(tmp_path, SPLITS)
    (tmp_path / "b.wav").write_text("not a sound")
    parts = split_clips(read_clips(path), 0)
    with pytest.raises(DataError, match=r"1 of 3 clips cannot be learned from: .*b\.wav: .*correct the file"):
        check_clips(ClipReader([*parts.train, *parts.valid], FrontendConfig(), 10))


def test_groups_are_never_on_two_sides_and_every_group_is_tested_once(tmp_path: Path) -> None:
    read = read_clips(table(tmp_path, GROUPS, "path,label,group"))
    folds = count_folds(read, 0)
    assert folds == 5
    tested: list[str] = []
    for fold in range(folds):
        parts = split_clips(read, 0, fold)
        sides = [{clip.group for clip in part} for part in (parts.train, parts.valid, parts.test)]
        assert not (sides[0] & sides[1])
        assert not (sides[0] & sides[2])
        assert not (sides[1] & sides[2])
        tested += sorted(sides[2])
    assert sorted(tested) == [f"site{number}" for number in range(6)]


def test_a_table_without_split_or_group_is_split_by_file(tmp_path: Path) -> None:
    rows = [row[:2] for row in GROUPS]
    parts = split_clips(read_clips(table(tmp_path, rows, "path,label")), 0)
    assert len(parts.train) + len(parts.valid) + len(parts.test) == 12
    assert min(len(parts.train), len(parts.valid), len(parts.test)) >= 2


def test_a_task_folder_keeps_its_splits_and_its_score(tmp_path: Path, clips: Path) -> None:
    task = make_task(clips / "table.csv", tmp_path, TaskRecipe("tones", folds=4))
    read = read_clips(task.path)
    assert (read.kind, read.labels, read.score) == ("multiclass", LABELS, "top1_acc")
    assert count_folds(read, 0) == 4
    parts = split_clips(read, 0, 1)
    test = json.loads((task.path / "fold01.json").read_text())
    assert {clip.path.name for clip in parts.test} == set(test)
    assert as_kind(read, "multilabel").kind == "multilabel"
    with pytest.raises(DataError, match="kind=regression, but it holds what a multiclass learns"):
        as_kind(read, "regression")

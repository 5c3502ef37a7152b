"""Embeddings directories are read lazily, checked, and told apart when broken."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.tasks.metadata import TaskError
from tests.evaluate.made_task import make_event_task, make_scene_task, write_split

FOLDS = {"fold00": 6, "fold01": 5, "fold02": 7, "fold03": 4}


def change_metadata(folder: Path, **values: object) -> None:
    path = folder / "task_metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_scene_task(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", {"train": 9, "valid": 6, "test": 5}))
    assert task.embedding_size == 8
    assert isinstance(task.splits["train"].embeddings, np.memmap)
    assert task.splits["test"].target.shape == (5, 3)
    assert [split.name for split in task.metadata.data_splits()] == ["test"]


def test_folds_are_sorted_and_rotated(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", dict(sorted(FOLDS.items(), reverse=True))))
    splits = task.metadata.data_splits()
    assert [(split.test, split.valid, split.train) for split in splits] == [
        (("fold00",), ("fold01",), ("fold02", "fold03")),
        (("fold01",), ("fold02",), ("fold00", "fold03")),
        (("fold02",), ("fold03",), ("fold00", "fold01")),
        (("fold03",), ("fold00",), ("fold01", "fold02")),
    ]


def test_rows_run_across_folds(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", FOLDS))
    rows = task.rows(("fold00", "fold02"))
    joined = np.concatenate([task.splits["fold00"].embeddings, task.splits["fold02"].embeddings])
    assert len(rows) == 13
    np.testing.assert_array_equal(rows.embeddings(4, 9), joined[4:9])
    np.testing.assert_array_equal(rows.embeddings(7), joined[7:])
    assert rows.target.shape == (13, 3)


def test_event_task(tmp_path: Path) -> None:
    task = read_embeddings(make_event_task(tmp_path / "t", {"train": 3, "valid": 2, "test": 2}))
    rows = task.rows(("test",))
    assert rows.frames[61] == ("test1.wav", 40.0)
    assert set(rows.events) == {"test0.wav", "test1.wav"}


def test_integer_labels_meet_their_vocabulary(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", {"train": 3, "valid": 3, "test": 3})
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,21\n1,22\n2,108\n")
    for split in ("train", "valid", "test"):
        (folder / f"{split}.target-labels.pkl").write_bytes(pickle.dumps([[21], [22], [108]]))
    np.testing.assert_array_equal(read_embeddings(folder).splits["train"].target, np.eye(3))


class Payload:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("executed"),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_scene_task(tmp_path / "t", FOLDS)
    (folder / "fold01.target-labels.pkl").write_bytes(pickle.dumps([Payload()]))
    with pytest.raises(TaskError, match=r"fold01\.target-labels\.pkl is not a plain pickle .*nothing in it was run"):
        read_embeddings(folder)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["c0"]] * 5, "labels of 5 rows, the embeddings have 6"),
        ([["c0"]] * 5 + [["dog"]], "row 5 has the label 'dog', which labelvocabulary.csv lacks"),
        ([["c0"]] * 5 + [["c0", "c1"]], r"row 5 has 2 labels \['c0', 'c1'\], multiclass needs one"),
        ([["c0"]] * 5 + [[]], "row 5 has 0 labels"),
        ({"c0": 1}, "expected a list of label lists"),
        ([[None]] * 6, "strings or numbers"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, labels: object, message: str) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    (folder / "fold00.target-labels.pkl").write_bytes(pickle.dumps(labels))
    with pytest.raises(TaskError, match=message):
        read_embeddings(folder)


def test_a_missing_split(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    (folder / "fold02.embeddings.npy").unlink()
    with pytest.raises(TaskError, match=r"fold02\.embeddings\.npy is missing"):
        read_embeddings(folder)
    change_metadata(folder, split_mode="trainvaltest", splits=["train", "valid"])
    with pytest.raises(TaskError, match="needs the splits test too"):
        read_embeddings(folder)


def test_a_truncated_memmap(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    path = folder / "fold01.embeddings.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(TaskError, match=r"fold01\.embeddings\.npy has 152 bytes, but the 5 x 8 float32 .* need 160"):
        read_embeddings(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    embeddings = np.zeros((5, 8))
    embeddings[3, 2] = value
    write_split(folder, "fold01", embeddings, [["c0"]] * 5)
    with pytest.raises(TaskError, match=r"fold01\.embeddings\.npy: row 3 has NaN or infinite values"):
        read_embeddings(folder)


def test_sizes_that_differ_between_splits(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    write_split(folder, "fold03", np.zeros((4, 9)), [["c0"]] * 4)
    with pytest.raises(TaskError, match=r"differ in embedding size \(fold00 8, fold01 8, fold02 8, fold03 9\)"):
        read_embeddings(folder)


def test_an_empty_test_split(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", {"train": 9, "valid": 6, "test": 5})
    write_split(folder, "test", np.zeros((0, 8)), [])
    with pytest.raises(TaskError, match="the split test is empty"):
        read_embeddings(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"embedding_type": "frame"}, "embedding_type is 'frame', expected one of scene, event"),
        ({"splits": ["fold00", "fold01"]}, "at least 3 folds, has 2"),
        ({"evaluation": []}, "evaluation is empty"),
        ({"evaluation": ["segment_1s_er"]}, "segment_1s_er cannot judge a task of scene embeddings"),
        ({"embedding_type": "event"}, "prediction_type must be multilabel"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path: Path, values: dict, message: str) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    change_metadata(folder, **values)
    with pytest.raises(TaskError, match=message):
        read_embeddings(folder)


def test_broken_small_files(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    change_metadata(folder, evaluation=["f1"])
    with pytest.raises(TaskError, match=r"task_metadata\.json: unknown score 'f1'"):
        read_embeddings(folder)
    (folder / "task_metadata.json").write_text("{}")
    with pytest.raises(TaskError, match="lacks task_name, embedding_type"):
        read_embeddings(folder)
    (folder / "task_metadata.json").write_text("[]")
    with pytest.raises(TaskError, match="expected an object"):
        read_embeddings(folder)
    (folder / "task_metadata.json").write_text("{")
    with pytest.raises(TaskError, match="is not JSON"):
        read_embeddings(folder)
    with pytest.raises(TaskError, match=r"task_metadata\.json is missing"):
        read_embeddings(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("evaluation", "top1_acc", "a list of names"),
        ("splits", 5, "a list of names"),
        ("splits", [0, 1, 2], "a list of names"),
        ("sample_duration", "1 s", "seconds above 0, or null"),
        ("sample_duration", -1, "seconds above 0, or null"),
        ("use_scoring_for_early_stopping", "no", "true or false"),
        ("evaluation_params", ["grid"], "an object"),
    ],
)
def test_metadata_of_a_wrong_type_are_told_with_their_file(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    change_metadata(folder, **{key: value})
    with pytest.raises(TaskError, match=rf"task_metadata\.json: {key} is .*, expected {expected}"):
        read_embeddings(folder)


def test_a_vocabulary_that_is_not_utf8(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    (folder / "labelvocabulary.csv").write_bytes("idx,label\n0,Gespr\u00e4ch\n".encode("latin-1"))
    with pytest.raises(TaskError, match=r"labelvocabulary\.csv: expected UTF-8 text"):
        read_embeddings(folder)


@pytest.mark.parametrize("text", ["idx,label\n0,a\n2,b\n", "idx,label\n0,a\n1,a\n", "label\na\n", "idx,label\n"])
def test_a_vocabulary_that_does_not_count(tmp_path: Path, text: str) -> None:
    folder = make_scene_task(tmp_path / "t", FOLDS)
    (folder / "labelvocabulary.csv").write_text(text)
    with pytest.raises(TaskError, match=r"labelvocabulary\.csv"):
        read_embeddings(folder)

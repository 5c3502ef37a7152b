"""Labels are given, listed and taken back; nothing is lost or said by somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from axlstm.cli import main
from axlstm.collection.collection import Collection
from axlstm.collection.labels.table import count_labels, undo
from axlstm.errors import DataError
from tests.collection.labels.conftest import said


def test_labels_are_given_counted_and_undone(collection: Collection) -> None:
    collection.label("north/owl.wav", "owl", 1, 2.5)
    second = collection.label("north/owl.wav", "owl", 1, 2.5, verdict="no", author="ann")
    collection.label("wren.flac", "wren")
    assert said(collection) == [
        ("north/owl.wav", 1.0, 2.5, "owl", "yes", None, None),
        ("north/owl.wav", 1.0, 2.5, "owl", "no", None, None),
        ("wren.flac", 0.0, 10.0, "wren", "yes", None, None),
    ]
    assert [(one.label, one.yes, one.no, one.recordings) for one in count_labels(collection)] == [
        ("owl", 1, 1, 1),
        ("wren", 1, 0, 1),
    ]
    assert undo(collection) == ["wren.flac 0-10 s wren: yes"]
    assert undo(collection, [second]) == ["north/owl.wav 1-2.5 s owl: no"]
    assert said(collection) == [("north/owl.wav", 1.0, 2.5, "owl", "yes", None, None)]
    with pytest.raises(DataError, match=f"label {second} is undone already"):
        undo(collection, [second])
    with pytest.raises(DataError, match="label 99 is not there"):
        undo(collection, [1, 99])
    assert len(said(collection)) == 1  # all of them or none
    undo(collection)
    with pytest.raises(DataError, match="no label to take back"):
        undo(collection)
    everything = collection.tables.execute("SELECT author, undone_at FROM labels ORDER BY id").fetchall()
    assert everything[1]["author"] == "ann"
    assert all(row["undone_at"] for row in everything)


def test_the_same_word_again_is_no_further_one(collection: Collection) -> None:
    """As when a command is given again whose end was not seen. What was said in between counts."""
    first = collection.label("wren.flac", "wren", 1, 2, author="ann")
    assert collection.label("wren.flac", " wren ", 1, 2, author="ann") == first
    assert collection.label("wren.flac", "wren", 1, 2, author="bob") == first + 1
    assert collection.label("wren.flac", "wren", 1, 2, verdict="no", author="ann") == first + 2
    assert collection.label("wren.flac", "wren", 1, 2, author="ann") == first + 3
    undo(collection)
    assert collection.label("wren.flac", "wren", 1, 2, verdict="no", author="ann") == first + 2


def test_a_step_is_taken_back_alone(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one of the same millisecond, or of a clock that was set back."""
    times = ("2024-05-01T06:00:00.999+00:00",) * 3 + ("2024-05-01T05:00:00.000+00:00",) * 2
    for number, time in enumerate(times):
        monkeypatch.setattr("axlstm.collection.labels.table.now", lambda time=time: time)
        collection.label("wren.flac", f"label {number}", 1, 2)
    for left in (4, 3, 2, 1, 0):
        assert len(undo(collection)) == 1
        assert len(said(collection)) == left


@pytest.mark.parametrize(
    ("recording", "label", "times", "told"),
    [
        ("caf\udce9.wav", "owl", (0, 1), "no recording of"),  # bytes that are no UTF-8
        ("north/none.wav", "owl", (0, 1), "north/none.wav: no recording of"),
        ("north/owl.wav", " ", (0, 1), "a label without a name"),
        ("north/owl.wav", "a\tb", (0, 1), "characters that cannot be shown"),
        ("north/owl.wav", "x" * 201, (0, 1), "a label of 201 characters"),
        ("north/owl.wav", "owl", (2, 1), "an end behind the start"),
        ("north/owl.wav", "owl", (-1, 1), "expected 0 or more"),
        ("north/owl.wav", "owl", (float("nan"), 1), "times that are no numbers"),
        ("north/owl.wav", "owl", (59, 61), "beyond the end of the recording, which has 60 s"),
        ("north/owl.wav", "owl", (60, 60.04), "beyond the end of the recording, which has 60 s"),
    ],
)
def test_what_cannot_be_a_label_is_told(
    collection: Collection, recording: str, label: str, times: tuple[float, float], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        collection.label(recording, label, *times)
    assert said(collection) == []


def test_a_path_that_may_be_two_is_told(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of this folder is not taken for the recording that has its path below the root."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wren.flac").touch()
    with pytest.raises(DataError, match=r"wren\.flac, and another file here; write \./wren\.flac for the file"):
        collection.label("wren.flac", "wren")
    with pytest.raises(DataError, match="no recording"):
        collection.label("./wren.flac", "wren")
    collection.label(collection.root / "wren.flac", "wren")
    assert said(collection)[0][0] == "wren.flac"


def test_an_author_that_cannot_be_shown_is_told(collection: Collection) -> None:
    with pytest.raises(DataError, match=r"the author 'me.nyou'"):
        collection.label("wren.flac", "wren", author="me\nyou")


def test_an_end_that_was_rounded_up_is_the_end(collection: Collection) -> None:
    collection.label("south/owl.wav", "owl", 90, 90.52)
    assert said(collection) == [("south/owl.wav", 90.0, 90.5, "owl", "yes", None, None)]


def test_the_command_line(collection: Collection, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    folder = str(collection.folder)
    assert main(["label", "list", folder]) == 0
    assert "no labels; axlstm label import or add gives some" in capsys.readouterr().out
    assert main(["label", "add", folder, "north/owl.wav@1-2.5", "owl", "--verdict", "unsure", "--author", "ann"]) == 0
    assert "label 1: north/owl.wav@1-2.5 owl: unsure" in capsys.readouterr().out
    assert main(["label", "list", folder]) == 0
    assert capsys.readouterr().out.split() == ["owl", "0", "yes", "0", "no", "1", "unsure", "1", "recordings"]
    assert main(["label", "list", folder, "--label", "owl"]) == 0
    assert "unsure  north/owl.wav@1-2.5  ann, 20" in capsys.readouterr().out
    assert main(["label", "list", folder, "--label", "owls"]) == 1
    assert "no label 'owls'; it has owl" in capsys.readouterr().err
    assert main(["label", "export", folder, "-o", str(tmp_path / "labels.csv")]) == 0
    assert main(["label", "undo", folder, "1"]) == 0
    assert "1 labels taken back\n  north/owl.wav 1-2.5 s owl: unsure" in capsys.readouterr().out
    assert main(["label", "import", folder, str(tmp_path / "labels.csv")]) == 0
    assert "1 labels (1 unsure) of 1 recordings imported" in capsys.readouterr().out
    assert main(["label", "import", folder, str(tmp_path / "labels.csv")]) == 0
    assert "0 labels of 0 recordings imported, 1 there already" in capsys.readouterr().out
    assert main(["label", "add", folder, "north/owl.wav@1-250", "owl"]) == 1
    assert "beyond the end" in capsys.readouterr().err

"""Windows become examples by the rules of labels about windows; what is not known is left out and counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.classifiers.examples import (
    NO,
    UNSAID,
    UNSURE,
    YES,
    Judged,
    draw_unsaid,
    examples_of_classes,
    examples_of_label,
    find_judged,
    split_labels,
)
from axlstm.collection.collection import Collection
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, DataError
from tests.collection.classifiers.made import make_birds

NOTHING = np.empty(0, np.int64)


@pytest.fixture
def birds(tmp_path: Path) -> Iterator[Collection]:
    with make_birds(tmp_path, recordings=3) as made:
        yield made


def test_what_labels_say_about_windows(birds: Collection) -> None:
    birds.label("00.wav", "wren", 1, 3)
    birds.label("00.wav", "wren", 4, 8, verdict="no")
    birds.label("01.wav", "wren", 0, 2, verdict="unsure")
    birds.label("00.wav", "robin", 1, 3, verdict="no")
    table = WindowTable(birds, birds.encoder())
    judged = find_judged(birds, table, ["wren", "robin"])
    assert judged.rows.tolist() == [1, 4, 5, 6, 10]
    assert judged.said[:, 0].tolist() == [YES, NO, NO, NO, UNSURE]
    assert judged.said[:, 1].tolist() == [NO, UNSAID, UNSAID, UNSAID, UNSAID]
    examples = examples_of_label(judged, 0, np.array([20, 25]))
    assert examples.rows.tolist() == [1, 4, 5, 6, 20, 25]
    assert examples.classes.tolist() == [1, 0, 0, 0, 0, 0]
    assert examples.weights.tolist() == [1, 1, 1, 1, 0.1, 0.1]


def test_unlabelled_windows_are_drawn_from_all_that_nothing_is_said_about(birds: Collection) -> None:
    birds.label("00.wav", "wren")
    table = WindowTable(birds, birds.encoder())
    judged = find_judged(birds, table, ["wren"])
    drawn = draw_unsaid(table, judged, 8, seed=1)
    assert len(set(drawn.tolist())) == 8
    assert drawn.min() >= 10
    assert drawn.tolist() == draw_unsaid(table, judged, 8, seed=1).tolist()
    assert len(draw_unsaid(table, judged, 100, seed=1)) == 20


def said(*rows: tuple[int, int]) -> Judged:
    return Judged(("wren", "robin"), np.arange(len(rows)), np.array(rows, np.int8))


def test_of_classes_a_window_has_one() -> None:
    judged = said((YES, UNSAID), (NO, YES), (YES, YES), (YES, UNSURE), (NO, UNSAID), (UNSAID, UNSURE), (YES, NO))
    examples, told = examples_of_classes(judged, NOTHING)
    assert examples.names == ("wren", "robin")
    assert examples.rows.tolist() == [0, 1, 6]
    assert examples.classes.tolist() == [0, 1, 0]
    assert told == [
        "1 windows left out that have several of the labels",
        "2 windows left out that are unsure",
        "1 windows left out that are a no for some of the labels only",
    ]


def test_windows_that_are_a_no_for_all_labels_are_the_background() -> None:
    judged = said((YES, UNSAID), (NO, YES), (NO, NO))
    examples, _ = examples_of_classes(judged, np.array([7]))
    assert examples.names == ("wren", "robin", "background")
    assert examples.classes.tolist() == [0, 1, 2, 2]
    assert examples.is_judged.tolist() == [True, True, True, False]


def test_labels_that_cannot_be_trained_are_told() -> None:
    with pytest.raises(DataError, match="no window is a yes; say yes to some"):
        examples_of_label(said((NO, YES)), 0, NOTHING)
    with pytest.raises(DataError, match="1 windows are a yes, and none is a no.*--weak-negatives.*--mode multiclass"):  # noqa: RUF043
        examples_of_label(said((YES, YES)), 0, NOTHING)
    with pytest.raises(DataError, match="no window has the label robin alone"):
        examples_of_classes(said((YES, NO), (YES, YES)), NOTHING)
    with pytest.raises(DataError, match="label 'wren' alone"):
        examples_of_classes(Judged(("wren",), np.arange(1), np.array([[YES]], np.int8)), NOTHING)
    with pytest.raises(DataError, match="a label called background"):
        examples_of_classes(
            Judged(("background", "b"), np.arange(3), np.array([[1, 0], [0, 1], [0, 0]], np.int8)), NOTHING
        )


def test_labels_may_be_joined_by_commas(birds: Collection) -> None:
    for label in ("wren", "robin", "wren, alarm"):
        birds.label("00.wav", label)
    assert split_labels(birds, ["wren,robin", "wren"]) == ("wren", "robin")
    assert split_labels(birds, ["wren, alarm"]) == ("wren, alarm",)
    with pytest.raises(ConfigError, match="no label to train; it has"):
        split_labels(birds, [","])

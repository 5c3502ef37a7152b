"""What was said, by whom and when; and what is new since a moment."""

from __future__ import annotations

import pytest

from axlstm.collection.collection import Collection
from axlstm.collection.collection import open as open_collection
from axlstm.collection.labels.history import list_changes, list_history, list_standing, mark_of_now
from axlstm.collection.labels.saying import say_all
from axlstm.collection.labels.table import find_recording, undo
from axlstm.errors import ConfigError, DataError
from tests.collection.labels.conftest import said


def numbers(collection: Collection, *paths: str) -> list[int]:
    found = [find_recording(collection, path) for path in paths]
    return [number for number in found if number is not None]


def test_several_stretches_are_one_step(collection: Collection) -> None:
    owl, wren = numbers(collection, "north/owl.wav", "wren.flac")
    ids = say_all(collection, [(owl, 0, 1), (wren, 2, 3)], " call ", verdict="yes", author="ann")
    assert ids == [1, 2]
    assert say_all(collection, [(owl, 0, 1), (wren, 4, 5)], "call", verdict="yes", author="ann") == [1, 3]
    assert len(undo(collection)) == 1
    assert len(undo(collection)) == 2


def test_if_one_cannot_be_said_none_is(collection: Collection) -> None:
    owl, wren = numbers(collection, "north/owl.wav", "wren.flac")
    for wrong in ([(owl, 0, 1), (99, 0, 1)], [(owl, 0, 1), (wren, 5, 4)], [(owl, 0, 1), (wren, 0, 1e6)]):
        with pytest.raises(DataError):
            say_all(collection, wrong, "call", verdict="yes", author="ann")
    with pytest.raises(DataError, match="a label without a name"):
        say_all(collection, [(owl, 0, 1)], " ", verdict="yes", author="ann")
    assert said(collection) == []


def test_history_is_listed_from_the_latest_on(collection: Collection) -> None:
    owl, wren = numbers(collection, "north/owl.wav", "wren.flac")
    for second in range(5):
        say_all(collection, [(owl, second, second + 1)], "owl", verdict="yes", author="ann")
    (last,) = say_all(collection, [(wren, 0, 1)], "wren", verdict="no", author="bob")
    undo(collection, [2])
    assert [one.id for one in list_history(collection)] == [last, 5, 4, 3, 2, 1]
    assert [one.id for one in list_history(collection, label="owl", before=4, count=2)] == [3, 2]
    assert [one.id for one in list_history(collection, recording=owl, undone=False)] == [5, 4, 3, 1]
    assert [one.id for one in list_standing(collection, owl)] == [1, 3, 4, 5]
    (wrens,) = list_history(collection, label="wren")
    assert (wrens.path, wrens.verdict, wrens.author, wrens.undone_at) == ("wren.flac", "no", "bob", None)
    for count in (0, 1001):
        with pytest.raises(ConfigError, match="expected 1 to 1000"):
            list_history(collection, count=count)


def test_changes_of_others_are_seen_once(collection: Collection) -> None:
    (owl,) = numbers(collection, "north/owl.wav")
    say_all(collection, [(owl, 0, 1)], "owl", verdict="yes", author="ann")
    mark = mark_of_now(collection)
    assert list_changes(collection, mark) == ([], mark)
    with open_collection(collection.folder) as other:
        say_all(other, [(owl, 1, 2)], "owl", verdict="no", author="bob")
        undo(other, [1])
    changes, later = list_changes(collection, mark)
    assert [(one.id, one.verdict, one.undone_at is None) for one in changes] == [(1, "yes", False), (2, "no", True)]
    again, _ = list_changes(collection, later)
    assert [one.id for one in again] == [1]  # of the millisecond of the mark
    assert [one.id for one in list_changes(collection)[0]] == [1, 2]
    for wrong in ("", "1", "x~", "1~'; DROP TABLE labels", "9" * 30 + "~"):
        with pytest.raises(ConfigError, match="expected what an earlier answer gave"):
            list_changes(collection, wrong)

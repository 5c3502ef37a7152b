"""Files that are complete or absent, whatever their names are."""

from __future__ import annotations

from pathlib import Path

import pytest

from axlstm.files import atomic_path, readable_name, write_atomically


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "e.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    with pytest.raises(KeyError), atomic_path(link):
        raise KeyError
    assert [path.name for path in target.parent.iterdir()] == ["e.csv"]


@pytest.mark.parametrize("letter", ["a", "é", "語"])
def test_names_as_long_as_the_disk_allows(letter: str, tmp_path: Path) -> None:
    path = tmp_path / (letter * (255 // len(letter.encode())))
    write_atomically(path, b"content")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(path.name, b"content")]


def test_names_that_are_not_utf8_can_be_read() -> None:
    assert readable_name("caf\udce9 ünï.wav") == r"caf\xe9 ünï.wav"

"""Files that are complete or absent, whatever their names are."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import axlstm.files
from axlstm.errors import WriteError
from axlstm.files import Part, atomic_path, clear_dead_parts, readable_name, remove_folder, write_atomically, writing


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


WRITER = """
import os, sys, time
from pathlib import Path
from axlstm.files import Part
for kind in (False, True):
    part = Part(Path(sys.argv[1]) / "target", folder=kind)
    (part.path / "file" if kind else part.path).write_bytes(b"half")
os.write(1, b"written\\n")
time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="an open folder is not locked there")
def test_parts_of_a_dead_writer_are_removed_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    (tmp_path / ".download.part").write_text("somebody else's")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        clear_dead_parts(tmp_path)
        assert len(list(tmp_path.iterdir())) == 3
        writer.kill()
    clear_dead_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".download.part"]


@pytest.mark.skipif(os.name == "nt", reason="an open folder is not locked there")
def test_the_first_write_into_a_folder_clears_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        writer.kill()
    assert len(list(tmp_path.iterdir())) == 2
    write_atomically(tmp_path / "other", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_parts_of_this_process_stay_and_are_discarded(tmp_path: Path) -> None:
    file, folder = Part(tmp_path / "a"), Part(tmp_path / "b", folder=True)
    clear_dead_parts(tmp_path)
    assert file.path.is_file()
    assert folder.path.is_dir()
    file.discard()
    folder.discard()
    assert os.name == "nt" or not list(tmp_path.iterdir())


def test_parts_of_another_machine_stay_for_a_day(tmp_path: Path) -> None:
    part = tmp_path / ".e.npz.abcd1234.0badcafe.axlstm.part"
    part.write_bytes(b"half")
    clear_dead_parts(tmp_path)
    assert part.exists()
    os.utime(part, (time.time() - 90_000,) * 2)
    clear_dead_parts(tmp_path)
    assert not part.exists()


def test_a_part_that_a_cleaner_took_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, takes = axlstm.files._lock, iter([True, False])

    def late(handle: int) -> bool | None:
        if next(takes, False):
            for path in tmp_path.iterdir():
                path.unlink()
        return lock(handle)

    monkeypatch.setattr(axlstm.files, "_lock", late)
    part = Part(tmp_path / "a")
    part.path.write_bytes(b"content")
    part.publish()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"content")]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "Free some space"), (errno.EIO, "Check the disk"), (errno.EROFS, "Allow it")],
)
def test_an_error_of_the_disk_names_the_file_and_the_remedy(number: int, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(WriteError) as caught, writing(tmp_path / "a", "The others stay"), writing(tmp_path / "a"):
        raise OSError(number, os.strerror(number))
    told = f"{tmp_path / 'a'}: cannot be written ({os.strerror(number)}). {remedy}, and run the same command again"
    assert str(caught.value) == f"{told} to go on. The others stay"


def test_an_error_about_another_file_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), writing(tmp_path / "out" / "a"):
        (tmp_path / "elsewhere").read_bytes()


def test_a_folder_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", Path(name).name)

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").touch()
    monkeypatch.setattr(os, "unlink", fail)
    with pytest.raises(WriteError, match=rf"{tmp_path / 'folder'}: cannot be removed \(Permission denied\)\. Allow it"):
        remove_folder(tmp_path / "folder")

"""Listings: each recording once and in order, from folders, stores and both."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axlstm.errors import AudioError, ConfigError, StoreError
from axlstm.parts.listing import Listing
from tests.parts.corpora import write_tar

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    names = [f"{folder}/{number}.wav" for folder in ("", "b", "a", "a/c", "a/d") for number in (1, 0)]
    files.pipe({f"/box/{name.strip('/')}": name.encode() for name in [*names, "notes.txt", "a/x.json"]})
    yield files
    files.rm("/box", recursive=True)


def paths(*sources: str, without: str = "out") -> list[str]:
    return [entry.path.replace("memory:///box/", "") for entry in Listing(sources, without)]


IN_ORDER = [f"{folder}{number}.wav" for folder in ("", "a/", "a/c/", "a/d/", "b/") for number in (0, 1)]


@pytest.mark.usefixtures("memory")
def test_a_store_is_listed_in_order_files_before_folders() -> None:
    assert paths("memory://box") == IN_ORDER
    listing = Listing(["memory://box"], "out")
    assert [entry.size_bytes for entry in listing if entry.path.endswith("/0.wav")] == [6, 7, 9, 9, 7]
    assert listing.not_sound == {".txt": 1, ".json": 1}


def test_the_order_does_not_depend_on_which_answer_comes_first(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, at_once, most = type(memory).ls, threading.Semaphore(100), []

    def slow(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        with at_once:
            most.append(at_once._value)
            time.sleep(0.05 if path.endswith("a") or path.endswith("c") else 0.0)
            return real(self, path, *arguments, **options)

    monkeypatch.setattr(type(memory), "ls", slow)
    assert paths("memory://box") == IN_ORDER
    assert min(most) < 99  # several were asked for at once


@pytest.mark.usefixtures("memory")
def test_what_lies_in_two_sources_or_is_the_output_is_passed_over() -> None:
    assert paths("memory:///box/a", "memory://box", "memory:///box/a/") == [
        *IN_ORDER[2:8],
        *IN_ORDER[:2],
        *IN_ORDER[8:],
    ]
    assert paths("memory:///box", without="memory:///box/a") == [*IN_ORDER[:2], *IN_ORDER[8:]]


@pytest.mark.usefixtures("memory")
def test_a_star_stands_for_names_in_a_folder() -> None:
    assert paths("memory:///box/a/*.wav") == ["a/0.wav", "a/1.wav"]
    assert paths("memory:///box/*") == [*IN_ORDER, "notes.txt"]  # which is named then, as by the shell
    with pytest.raises(AudioError, match=r"no sound files in memory:///box/a/\*\.flac"):
        paths("memory:///box/a/*.flac")


@pytest.mark.usefixtures("memory")
def test_folders_tars_and_stores_together(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "x.wav").write_bytes(b"x")
    write_tar(tmp_path / "here" / "in-a-folder.tar", {"y.wav": b"y"})
    named = write_tar(tmp_path / "named.tar", {"z.wav": b"z"})
    found = paths("memory:///box/b", str(named), str(tmp_path / "here"))
    assert [path.removeprefix(f"{tmp_path}/") for path in found] == [
        "here/x.wav",
        "named.tar/z.wav",
        "b/0.wav",
        "b/1.wav",
    ]


def test_a_pipe_is_left_out_with_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    (entry,) = Listing([str(tmp_path / "a.wav")], "out")
    assert entry.skip.startswith("a pipe, which can be read only once")


def test_a_store_that_fails_while_it_is_listed_is_told(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise TimeoutError("no answer")

    monkeypatch.setattr("axlstm.remote._PAUSES_S", (0.0,))
    monkeypatch.setattr(type(memory), "ls", fail)
    with pytest.raises(StoreError, match="the store fails"):
        paths("memory://box")


def test_urls_with_credentials_are_refused_before_anything_is_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a URL with credentials"):
        Listing([str(tmp_path), "s3://key:secret@sounds"], "out")

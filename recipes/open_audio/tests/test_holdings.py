"""The recordings that the weights have heard and those that the study tests on have nothing in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from axlstm.errors import DataError
from recipes.open_audio.fetch import Work
from recipes.open_audio.holdings import Holding, find_holdings, read_holdings
from recipes.open_audio.manifest import read_manifest
from recipes.open_audio.shards import SHARDS, write_shards
from recipes.open_audio.tests.made import SMALL, quiet


@pytest.fixture(scope="module")
def holdings() -> list[Holding]:
    return read_holdings()


@pytest.mark.parametrize("key", ["path", "digest", "cluster", "group"])
def test_no_recording_copy_or_group_that_is_tested_on_was_trained_on(holdings: list[Holding], key: str) -> None:
    def of(*roles: str) -> set[object]:
        # A package's music and its effects are groups of their own: no task tests on music.
        kind = {"group": lambda h: h.kind}.get(key, lambda _: "")
        return {(getattr(h, key), kind(h)) for h in holdings if h.role in roles}

    assert not of("train", "valid") & of("test")
    assert not of("train") & of("valid")


def test_every_kind_is_heard_and_music_is_not_tested_on(holdings: list[Holding]) -> None:
    kinds = {role: {h.kind for h in holdings if h.role == role} for role in ("train", "valid", "test")}
    assert kinds["train"] == kinds["valid"] == {"speech", "music", "effect", "note"}
    assert kinds["test"] == {"speech", "effect", "note"}


def test_holdings_are_read_from_the_shards_and_from_the_tasks(work: Work, tmp_path: Path) -> None:
    write_shards(work, work.folder / SHARDS, SMALL, quiet, processes=1)
    rows = read_manifest(work.manifest)
    with pytest.raises(DataError, match=r"used\.csv: no such file; the tasks command"):
        find_holdings(rows, work.folder / SHARDS, tmp_path)
    (tmp_path / "used.csv").write_text("path,tested\nx/tested/p/a.wav,1\nx/tested/p/b.wav,0\n", encoding="utf-8")
    found = find_holdings(rows, work.folder / SHARDS, tmp_path)
    assert [h.path for h in found if h.role == "test"] == ["x/tested/p/a.wav"]
    assert "x/talk/p/0.wav" in {h.path for h in found if h.role in ("train", "valid")}
    with pytest.raises(DataError, match="not in the manifest"):
        find_holdings(rows[:1], work.folder / SHARDS, tmp_path)

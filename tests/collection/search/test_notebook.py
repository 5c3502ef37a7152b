"""Hits in a notebook: tables, and players that play what was found."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.collection.collection import Collection, create, open
from axlstm.errors import AudioError, ConfigError
from tests.collection.made import make_sounds, save_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, sounds and their collection."""
    folder = tmp_path_factory.mktemp("sounds")
    model = save_model(folder / "small")
    make_sounds(folder / "sounds", 3)
    with create(folder / "c", folder / "sounds") as collection:
        collection.index([folder / "sounds"], model=str(model), window_s=1.0)
    return folder


@pytest.fixture
def collection(made: Path, tmp_path: Path) -> Iterator[Collection]:
    shutil.copytree(made, tmp_path / "made")
    with open(tmp_path / "made" / "c") as copied:
        copied.tables.execute("UPDATE settings SET value = ?", (str(tmp_path / "made" / "sounds"),))
        yield copied


def test_a_player_plays_the_hit(collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hits outlive their collection, and the folder that it was opened from."""
    pytest.importorskip("IPython")
    monkeypatch.chdir(collection.folder.parent)
    with open("c") as opened:
        hits = opened.search("01.wav@0-1", count=2)
    monkeypatch.chdir(tmp_path)
    player = hits.play(1)
    samples, rate = soundfile.read(io.BytesIO(player.data))
    whole, whole_rate = soundfile.read(collection.folder.parent / "sounds" / hits[1].path)
    cut = whole[round(hits[1].start_s * whole_rate) :][: len(samples)]
    assert rate == whole_rate
    assert len(samples) == round((hits[1].end_s - hits[1].start_s) * rate)
    assert np.corrcoef(cut, samples)[0, 1] > 0.999
    assert abs(samples).max() == pytest.approx(0.99, abs=1e-3)


def test_sounds_of_bats_are_brought_down_to_what_browsers_play(collection: Collection, tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    noise = np.random.default_rng(0).normal(size=384_000) / 10
    soundfile.write(tmp_path / "made" / "sounds" / "bat.wav", noise, 384_000)
    collection.index([tmp_path / "made" / "sounds"])
    (hit,) = hits = collection.search("01.wav", path=["bat.wav"])
    assert hit.path == "bat.wav"
    assert soundfile.info(io.BytesIO(hits.play(0).data)).samplerate == 48_000


def test_a_table_has_players_and_says_what_cannot_be_played(collection: Collection, tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    hits = collection.search("01.wav@0-1", count=3, one_per_recording=True)
    assert len(hits) == 3
    (tmp_path / "made" / "sounds" / hits[0].path).unlink()
    (tmp_path / "made" / "sounds" / hits[1].path).write_bytes(b"other")
    shown = hits.show().data
    assert shown.count("<audio") == 1
    assert f"{hits[0].path}: no such file" in shown.lower()
    assert "changed since it was indexed" in shown
    with pytest.raises(AudioError, match="changed since"):
        hits.play(1)
    assert hits.show(1).data.count("<tr>") == 2


def test_hits_are_tables(collection: Collection) -> None:
    hits = collection.search("01.wav@0-1", count=50, apart_s=0)
    assert hits.table().column("path").to_pylist() == [hit.path for hit in hits]
    shown = hits._repr_html_()
    assert "<audio" not in shown
    assert shown.count("<tr>") == 1 + min(20, len(hits))


def test_players_need_ipython(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ConfigError, match=r"pip install \"axlstm\[notebook\]\""):
        collection.search("01.wav@0-1").play(0)

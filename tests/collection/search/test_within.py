"""Where in a hit the query is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.audio.read import load_audio
from axlstm.cli import main
from axlstm.collection.collection import create
from axlstm.collection.search.within import best_run
from axlstm.errors import ConfigError
from axlstm.samples import sample_path

RATE = 16_000


def test_the_best_run_is_that_of_the_definition() -> None:
    scores = np.random.default_rng(0).normal(size=20)
    means = [scores[first : first + 4].mean() for first in range(17)]
    assert best_run(scores, 4) == (int(np.argmax(means)), pytest.approx(max(means)))
    assert best_run(scores, 20) == (0, pytest.approx(scores.mean()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call between 3.0 and 4.0 s of a recording that is a river otherwise, and the river alone."""
    folder = tmp_path_factory.mktemp("within")
    river = 0.1 * load_audio(sample_path("water_river"))[: 5 * RATE]
    call = load_audio(sample_path("bird_call"))[:RATE]
    mixed = river.copy()
    mixed[3 * RATE : 4 * RATE] += call
    (folder / "sounds").mkdir()
    for name, samples in (("mixed", mixed), ("river", river), ("speech", load_audio(sample_path("speech_it_queue")))):
        soundfile.write(folder / "sounds" / f"{name}.wav", samples, RATE)
    soundfile.write(folder / "call.wav", call, RATE)
    with create(folder / "c", folder / "sounds") as collection:
        collection.index([folder / "sounds"], window_s=5.0)
    return folder


def test_the_call_is_found_in_its_window(folder: Path, capsys: pytest.CaptureFixture) -> None:
    with axlstm.collection.open(folder / "c") as collection:
        hits = collection.search(folder / "call.wav", within=True)
        place = next(hit.within for hit in hits if hit.path == "mixed.wav")
        assert place is not None
        assert place.start_s == pytest.approx(3.0, abs=0.2)
        assert place.end_s == pytest.approx(4.0, abs=0.2)
        assert 0 < place.score <= 1
        collection.label("mixed.wav", "call", 3, 4)
        by_label = collection.search(label="call", within=True, count=3)
        assert all(hit.within is not None for hit in by_label)
    command = ["search", str(folder / "c"), str(folder / "call.wav"), "--within"]
    assert main([*command, "-o", str(folder / "hits.csv")]) == 0
    assert "within_start_s,within_end_s,within_score" in (folder / "hits.csv").read_text()
    capsys.readouterr()
    assert main(command) == 0
    assert f"{place.start_s:.2f}-{place.end_s:.2f}" in capsys.readouterr().out


def test_what_cannot_be_located_is_told(folder: Path, tmp_path: Path) -> None:
    with axlstm.collection.open(folder / "c") as collection:
        (folder / "sounds" / "river.wav").rename(tmp_path / "river.wav")
        hits = collection.search("speech.wav@0-1", within=True, count=10)
        (tmp_path / "river.wav").rename(folder / "sounds" / "river.wav")
        [note] = hits.notes
        assert "is not located: " in note
        assert "river.wav" in note
        soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).normal(size=61 * RATE) / 10, RATE)
        with pytest.raises(ConfigError, match=r"61 s; .* give a stretch of at most 60 s"):
            collection.search(tmp_path / "long.wav", within=True)


def test_other_encoders_have_no_frames(folder: Path, tmp_path: Path) -> None:
    with create(tmp_path / "c", folder / "sounds") as collection:
        collection.index([folder / "sounds"], model="logmel", window_s=1.0)
        with pytest.raises(ConfigError, match="logmel: only axlstm's own models have the frames"):
            collection.search("river.wav", within=True)

"""Spectrograms and sounds of stretches."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from axlstm.collection.collection import open as open_collection
from axlstm.errors import AudioError, ConfigError
from axlstm.explore.pictures import View, draw_spectrogram
from axlstm.explore.routes import recordings
from axlstm.explore.sounds import MOST_SAMPLES, cut_range, keep_band, make_playable

RATE_HZ = 16_000


def tone(hertz: float, seconds: float, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


@pytest.fixture
def two_tones(tmp_path: Path) -> Path:
    """Two seconds of 1 kHz, then two of 6 kHz, with a little noise."""
    samples = np.concatenate([tone(1000, 2), tone(6000, 2)])
    samples += np.random.default_rng(0).normal(0, 1e-3, len(samples)).astype(np.float32)
    soundfile.write(tmp_path / "tones.flac", samples, RATE_HZ)
    return tmp_path / "tones.flac"


def brightness(png: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), np.float64)  # (H, W)


def test_a_tone_is_bright_where_it_sounds(two_tones: Path) -> None:
    picture = draw_spectrogram(two_tones, View(0, 4, width=400, height=160))
    seen = brightness(picture.png)
    assert seen.shape == (160, 400)
    assert (picture.low_hz, picture.high_hz, picture.share) == (0, 8000, 1)
    rows = seen.argmax(axis=0)  # of each column; row 0 is 8 kHz
    assert np.abs(rows[20:180] - 139.5).max() <= 1.5
    assert np.abs(rows[220:380] - 39.5).max() <= 1.5


def test_a_view_of_a_band_and_a_stretch_shows_no_more(two_tones: Path) -> None:
    seen = brightness(draw_spectrogram(two_tones, View(1, 3, 5000, 7000, width=200, height=100)).png)
    assert seen[:, 120:].max() == seen.max()
    assert np.abs(seen[:, 120:].argmax(axis=0) - 49.5).max() <= 2
    assert seen[:, :80].mean() < seen[40:60, 120:].mean() / 2


def test_light_pictures_are_dark_where_it_is_loud(two_tones: Path) -> None:
    seen = brightness(draw_spectrogram(two_tones, View(0, 4, width=100, height=160, theme="light")).png)
    assert abs(int(seen[:, 20].argmin()) - 139.5) <= 1.5
    assert np.median(seen) > 200


def test_the_rate_of_a_bat_recorder_shows_its_tones_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "bat.wav"
    soundfile.write(path, np.concatenate([tone(45_000, 6, 384_000), tone(20_000, 6, 384_000)]), 384_000)
    for view in (View(0, 12, width=400, height=192), View(0, 12, 10_000, 58_000, width=400, height=192)):
        picture = draw_spectrogram(path, view)
        rows = brightness(picture.png).argmax(axis=0)
        row_hz = (picture.high_hz - picture.low_hz) / 192
        assert np.abs(picture.high_hz - (rows[:190] + 0.5) * row_hz - 45_000).max() <= 1.5 * row_hz
        assert np.abs(picture.high_hz - (rows[210:] + 0.5) * row_hz - 20_000).max() <= 1.5 * row_hz


def test_a_long_recording_is_looked_at_here_and_there_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 1000, 1) as file:
        for minute in range(120):
            file.write(tone(400 if minute < 60 else 100, 60, 1000))
    picture = draw_spectrogram(path, View(0, 7200, width=600, height=100))
    assert 0 < picture.share < 0.2
    rows = brightness(picture.png).argmax(axis=0)
    assert np.abs(rows[:290] - 19.5).max() <= 1.5
    assert np.abs(rows[310:] - 79.5).max() <= 1.5
    near = draw_spectrogram(path, View(3599, 3601, width=600, height=100))
    assert near.share == 1


def test_silence_and_single_samples_are_drawn(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(tmp_path / "short.wav", np.ones(1), RATE_HZ)
    assert brightness(draw_spectrogram(tmp_path / "silence.wav", View(0, 1)).png).shape == (256, 800)
    assert brightness(draw_spectrogram(tmp_path / "short.wav", View(0, 1)).png).shape == (256, 800)


@pytest.mark.parametrize(
    "view",
    [
        {"start_s": 1, "end_s": 1},
        {"start_s": -1, "end_s": 1},
        {"start_s": 0, "end_s": float("inf")},
        {"start_s": float("nan"), "end_s": 1},
        {"start_s": 0, "end_s": 1, "width": 2001},
        {"start_s": 0, "end_s": 1, "height": 601},
        {"start_s": 0, "end_s": 1, "height": 0},
        {"start_s": 0, "end_s": 1, "low_hz": 2000, "high_hz": 1000},
        {"start_s": 0, "end_s": 1, "low_hz": 9000},
    ],
)
def test_views_that_are_none_are_refused(two_tones: Path, view: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        draw_spectrogram(two_tones, View(**view))  # type: ignore[arg-type]


def test_a_stretch_behind_the_end_is_refused(two_tones: Path) -> None:
    with pytest.raises(AudioError, match=r"nothing at 4 s; it has 4.00 s"):
        draw_spectrogram(two_tones, View(4, 5))


def test_a_stretch_is_played_as_it_is_in_the_file(two_tones: Path) -> None:
    samples, rate_hz = soundfile.read(io.BytesIO(make_playable(two_tones, 0.5, 1.5)))
    assert (len(samples), rate_hz) == (RATE_HZ, RATE_HZ)
    wanted = soundfile.read(two_tones)[0][8000:24000]
    assert np.corrcoef(samples, wanted)[0, 1] > 0.9999
    assert np.abs(samples).max() == pytest.approx(0.99, abs=0.01)


@pytest.mark.parametrize("slower", [2, 4, 10])
def test_a_slow_sound_is_longer_and_lower(tmp_path: Path, slower: int) -> None:
    soundfile.write(tmp_path / "bat.wav", tone(40_000, 0.5, 192_000), 192_000)
    samples, rate_hz = soundfile.read(io.BytesIO(make_playable(tmp_path / "bat.wav", 0, 0.5, slower=slower)))
    assert rate_hz <= 48_000
    assert len(samples) / rate_hz == pytest.approx(0.5 * slower, rel=0.01)
    spectrum = np.abs(np.fft.rfft(samples))
    heard = np.fft.rfftfreq(len(samples), 1 / rate_hz)[spectrum.argmax()]
    if slower > 2:  # at 48 kHz nothing of 40 kHz / 2 is lost, and that of 96 kHz is cut to it
        assert heard == pytest.approx(40_000 / slower, rel=0.01)


def test_a_band_is_kept_and_the_rest_is_gone(two_tones: Path) -> None:
    both = tone(1000, 1) + tone(6000, 1)
    kept = keep_band(both, RATE_HZ, 4000, None)
    assert np.corrcoef(kept[800:-800], tone(6000, 1)[800:-800])[0, 1] > 0.999
    low = make_playable(two_tones, 1.5, 2.5, None, 3000)
    samples = soundfile.read(io.BytesIO(low))[0]
    assert np.abs(samples[:7000]).max() > 100 * np.abs(samples[9000:15000]).max()


@pytest.mark.parametrize("band", [(8000, None), (3000, 2000), (0, 0)])
def test_bands_that_are_none_are_refused(two_tones: Path, band: tuple[float, float | None]) -> None:
    with pytest.raises(ConfigError):
        make_playable(two_tones, 0, 1, *band)


def test_what_is_too_long_to_be_played_is_refused_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 96_000, 1) as file:
        for _ in range(3):
            file.write(np.zeros(6_000_000))
    with pytest.raises(ConfigError, match="180 s were asked for; expected at most 167 s at 96000 Hz"):
        make_playable(path, 0, 180)
    assert MOST_SAMPLES == 16_000_000


@pytest.mark.parametrize(
    ("header", "cut"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-200", (90, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-300", (0, 100)),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_ranges(header: str | None, cut: tuple[int, int] | None) -> None:
    assert cut_range(header, 100) == cut


def test_a_player_gets_a_sound_in_pieces(page: TestClient) -> None:
    number = page.get("/api/recordings?like=bird_song").json()["recordings"][0]["id"]
    path = f"/api/recording/{number}/sound.wav?start_s=1&end_s=2"
    whole = page.get(path)
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    first = page.get(path, headers={"Range": "bytes=0-999"})
    rest = page.get(path, headers={"Range": "bytes=1000-"})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.headers["content-range"] == f"bytes 0-999/{len(whole.content)}"
    assert first.content + rest.content == whole.content
    assert page.get(path, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416


def test_any_format_is_drawn_and_played(page: TestClient) -> None:
    for one in page.get("/api/recordings?count=500").json()["recordings"]:
        about = f"/api/recording/{one['id']}"
        picture = page.get(f"{about}/spectrogram.png?start_s=0&end_s=0.2&width=60&height=40")
        assert (picture.status_code, picture.headers["x-share"]) == (200, "1.0000")
        assert page.get(f"{about}/sound.wav?start_s=0&end_s=0.2").status_code == 200


def test_a_recording_that_was_swapped_under_the_page_is_refused(page: TestClient, place: Path) -> None:
    (bell,) = page.get("/api/recordings?like=bell").json()["recordings"]
    file, about = place / "sounds/bell.flac", f"/api/recording/{bell['id']}"
    ways = [f"{about}/sound.wav?start_s=0&end_s=1", f"{about}/spectrogram.png?start_s=0&end_s=1"]
    assert all(page.get(way).status_code == 200 for way in ways)
    facts, content = file.stat(), bytearray(file.read_bytes())
    content[2000:2100] = bytes(100)
    file.write_bytes(content)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # nothing but its content tells
    for way in ways:
        answer = page.get(way)
        assert answer.status_code == 409
        assert "changed since it was indexed" in answer.json()["error"]


def test_a_recording_that_is_swapped_while_it_is_read_is_refused(
    page: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bell,) = page.get("/api/recordings?like=bell").json()["recordings"]
    file, about = place / "sounds/bell.flac", f"/api/recording/{bell['id']}"
    content, other = file.read_bytes(), (place / "sounds/water_river.ogg").read_bytes()

    def swapping(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*asked: Any) -> Any:
            file.write_bytes(other)
            return work(*asked)

        return run

    for name in ("make_playable", "draw_spectrogram"):
        monkeypatch.setattr(recordings, name, swapping(getattr(recordings, name)))
    for way in ("sound.wav", "spectrogram.png"):
        file.write_bytes(content)
        answer = page.get(f"{about}/{way}?start_s=0&end_s=1")
        assert answer.status_code == 409
        assert "changed while it was read" in answer.json()["error"]


def test_sound_of_what_a_path_held_before_is_not_played_again(page: TestClient, place: Path) -> None:
    (before,) = page.get("/api/recordings?like=bell").json()["recordings"]
    stretch = "sound.wav?start_s=0&end_s=1"
    rung = page.get(f"/api/recording/{before['id']}/{stretch}").content
    shutil.copy(place / "sounds/water_river.ogg", place / "sounds/bell.flac")
    (place / "sounds/water_river.ogg").unlink()
    with open_collection(place / "birds.collection") as collection:
        collection.index([place / "sounds"], name="logmel")
    (after,) = page.get("/api/recordings?like=bell").json()["recordings"]
    assert page.get(f"/api/recording/{after['id']}/{stretch}").content != rung


def test_a_recording_is_not_given_for_another_one_that_has_its_number(page: TestClient) -> None:
    first, second = page.get("/api/recording/1").json(), page.get("/api/recording/2").json()
    for way in ("sound.wav", "spectrogram.png"):
        address = f"/api/recording/1/{way}?start_s=0&end_s=1&content="
        assert page.get(address + first["content"]).status_code == 200
        answer = page.get(address + second["content"])
        assert answer.status_code == 409
        assert "another recording than the page shows" in answer.json()["error"]


def test_a_recording_that_has_moved_is_told_and_all_else_works(page: TestClient, place: Path) -> None:
    (bell,) = page.get("/api/recordings?like=bell").json()["recordings"]
    (place / "sounds").rename(place / "elsewhere")
    answer = page.get(f"/api/recording/{bell['id']}/sound.wav?start_s=0&end_s=1")
    assert answer.status_code == 409
    assert "axlstm collection relocate" in answer.json()["error"]
    assert page.get("/api/about").json()["root_is_there"] is False
    assert page.get("/api/recordings?like=bell").json()["recordings"][0]["present"] is False
    given = {"label": "bell", "verdict": "yes", "items": [{"row": 0}]}
    assert page.post("/api/labels", json=given).status_code == 200
    assert page.post("/api/search", json={"rows": [0]}).status_code == 200

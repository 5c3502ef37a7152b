"""Fingerprints find one recording in any container, and tell others apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr

from recipes.open_audio.clusters import clusters_of
from recipes.open_audio.fingerprint import Fingerprint
from recipes.open_audio.matching import Index
from recipes.open_audio.probe import fingerprint_file, probe_file, probe_package
from recipes.open_audio.tests.made import RATE_HZ, encoded, tune


def _fingerprint(tmp_path: Path, content: bytes, name: str) -> Fingerprint:
    path = tmp_path / name
    path.write_bytes(content)
    return fingerprint_file(path)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> list[Fingerprint]:
    folder = tmp_path_factory.mktemp("library")
    return [_fingerprint(folder, encoded(tune(seed, 1.5)), f"{seed}.wav") for seed in range(20)]


@pytest.mark.parametrize("seed", [3, 11])
@pytest.mark.parametrize(
    "copy", ["ogg", "mp3", "8 kHz", "trimmed", "quieter and inverted", "inside of a longer one", "its middle"]
)
def test_a_copy_is_found_and_nothing_else(tmp_path: Path, library: list[Fingerprint], copy: str, seed: int) -> None:
    samples = tune(seed, 1.5)
    around = np.zeros(RATE_HZ, dtype=np.float32)
    content = {
        "ogg": lambda: encoded(samples, format="OGG", subtype="VORBIS", compression_level=1.0),
        "mp3": lambda: encoded(samples, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.9),
        "8 kHz": lambda: encoded(soxr.resample(samples, RATE_HZ, 8000), rate=8000),
        "trimmed": lambda: encoded(samples[371:]),
        "quieter and inverted": lambda: encoded(samples * np.float32(-0.2)),
        "inside of a longer one": lambda: encoded(np.concatenate([around, samples, around])),
        "its middle": lambda: encoded(samples[RATE_HZ // 4 : -RATE_HZ // 4]),
    }[copy]()
    found = [number for number, *_ in Index(library).search(_fingerprint(tmp_path, content, "copy"))]
    assert found == [seed]


def test_recordings_that_are_not_there_are_not_found(tmp_path: Path, library: list[Fingerprint]) -> None:
    index = Index(library)
    for seed in range(100, 110):
        assert not list(index.search(_fingerprint(tmp_path, encoded(tune(seed, 1.5)), "other.wav")))


def test_silence_and_clicks_match_nothing_not_even_themselves(tmp_path: Path) -> None:
    silence = _fingerprint(tmp_path, encoded(np.zeros(RATE_HZ, dtype=np.float32)), "silence.wav")
    click = _fingerprint(tmp_path, encoded(tune(0, 0.02)), "click.wav")
    index = Index([silence, click])
    assert not list(index.search(silence))
    assert not list(index.search(click))


def test_clusters_join_exact_copies_and_re_encodings_through_one_another(tmp_path: Path) -> None:
    other = tune(2)
    click = np.rint(tune(9, 0.02) * 32767).astype(np.int16)  # lossless in both containers
    contents = {
        "a.wav": encoded(tune(1)),
        "b.wav": encoded(other),
        "c.ogg": encoded(tune(1), format="OGG", subtype="VORBIS", compression_level=0.9),
        "d.flac": encoded(tune(1), format="FLAC"),
        "e.wav": encoded(click),
        "f.flac": encoded(click, format="FLAC"),
    }
    probed = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        probed.append(probe_file(tmp_path / name, name))
    assert clusters_of([probe.digest for probe, _ in probed], [one for _, one in probed]) == [0, 1, 0, 0, 4, 4]


def test_what_was_measured_is_kept_until_the_package_changes(tmp_path: Path) -> None:
    folder, cache = tmp_path / "package", tmp_path / "probes/package.npz"
    folder.mkdir()
    (folder / "a.wav").write_bytes(encoded(tune(1)))
    (folder / "b.wav").write_bytes(b"RIFF, but no sound")
    first = probe_package(folder, "1", cache)
    assert [bool(probe.error) for probe in first.recordings] == [False, True]
    assert first.recordings[0].duration_s == 2.0
    (folder / "a.wav").unlink()
    again = probe_package(folder, "1", cache)
    assert again.recordings == first.recordings
    np.testing.assert_array_equal(again.fingerprints[0].words, first.fingerprints[0].words)
    assert len(probe_package(folder, "2", cache).recordings) == 1


def test_a_half_written_cache_is_measured_anew(tmp_path: Path) -> None:
    folder, cache = tmp_path / "package", tmp_path / "package.npz"
    folder.mkdir()
    (folder / "a.wav").write_bytes(encoded(tune(1)))
    probe_package(folder, "1", cache)
    cache.write_bytes(cache.read_bytes()[:200])
    assert len(probe_package(folder, "1", cache).recordings) == 1

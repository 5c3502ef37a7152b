"""Stretches of sound files: what cannot be read or written is told with its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.collection.stretches import Stretch, write_stretch
from axlstm.errors import AudioError, WriteError

RATE = 16_000


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(size=4 * RATE) / 10
    soundfile.write(tmp_path / "owl.flac", noise, RATE)
    return tmp_path / "owl.flac"


def test_a_full_disk(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    with pytest.raises(WriteError, match=r"clip\.wav: cannot be written .*free space"):
        write_stretch(tmp_path / "clip.wav", sound, Stretch(1.0, 2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["owl.flac"]


def test_damage_in_the_middle(sound: Path, tmp_path: Path) -> None:
    content = bytearray(sound.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    sound.write_bytes(content)
    with pytest.raises(AudioError, match=r"owl\.flac: damaged after"):
        write_stretch(tmp_path / "clip.wav", sound, Stretch(0.5, 4.0))

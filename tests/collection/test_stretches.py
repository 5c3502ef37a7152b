"""Stretches of sound files: what cannot be read or written is told with its file."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("number", range(1, 4))
def test_a_disk_that_fails_once(number: int, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libsndfile tells some failing writes as a system error, and others not at all."""

    class Disk(io.BytesIO):
        calls = 0

        def write(self, content: Any) -> int:
            self.calls += 1
            if self.calls == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().write(content)

    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", real=Path.open: Disk() if mode == "wb" else real(path, mode)
    )
    with pytest.raises(WriteError, match=r"clip\.wav: cannot be written \(Input/output error\).*the same command"):
        write_stretch(tmp_path / "clip.wav", sound, Stretch(1.0, 2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["owl.flac"]


def test_damage_in_the_middle(sound: Path, tmp_path: Path) -> None:
    content = bytearray(sound.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    sound.write_bytes(content)
    with pytest.raises(AudioError, match=r"owl\.flac: damaged after"):
        write_stretch(tmp_path / "clip.wav", sound, Stretch(0.5, 4.0))

"""What libsndfile cannot read: telephone codecs and SoundFonts, as FLAC."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from recipes.open_audio.convert import convert_folder
from recipes.open_audio.failures import CorruptArchiveError
from recipes.open_audio.soundfont import read_samples
from recipes.open_audio.tests.made import RATE_HZ, tune

MONO, RIGHT, LEFT = 1, 2, 4


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _soundfont(samples: list[tuple[str, int, int, int, int, int]], wave: np.ndarray) -> bytes:
    """A SoundFont of samples (name, start, end, rate, link, type)."""
    headers = b"".join(
        struct.pack("<20sIIIIIBbHH", name.encode(), start, end, start, end, rate, 60, 0, link, kind)
        for name, start, end, rate, link, kind in [*samples, ("EOS", 0, 0, 0, 0, 0)]
    )
    sdta = _chunk(b"LIST", b"sdta" + _chunk(b"smpl", wave.astype("<i2").tobytes()))
    return _chunk(b"RIFF", b"sfbk" + sdta + _chunk(b"LIST", b"pdta" + _chunk(b"shdr", headers)))


def test_recordings_of_a_soundfont_become_files_and_halves_of_stereo_one(tmp_path: Path) -> None:
    wave = np.arange(300)
    font = _soundfont(
        [
            ("Kick 1/a", 0, 100, 44100, 0, MONO),
            ("Snare L", 100, 200, 22050, 2, LEFT),
            ("Snare R", 200, 300, 22050, 1, RIGHT),
            ("kick 1/A", 50, 60, 44100, 0, MONO),
            ("outside", 250, 400, 44100, 0, MONO),
            ("in the synthesiser", 0, 100, 44100, 0, 0x8001),
        ],
        wave,
    )
    (tmp_path / "drums.sf2").write_bytes(font)
    assert convert_folder(tmp_path) == []
    folder = tmp_path / "drums.sf2.d"
    assert sorted(path.name for path in folder.iterdir()) == ["Kick_1_a.flac", "Snare_L.flac", "kick_1_A_2.flac"]
    snare, rate = soundfile.read(folder / "Snare_L.flac", dtype="int16")
    assert rate == 22050
    np.testing.assert_array_equal(snare, np.stack([wave[100:200], wave[200:300]], axis=1))
    assert (tmp_path / "drums.sf2").is_file()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no SoundFont at all", _soundfont([], np.arange(50))[:60]])
def test_a_damaged_soundfont_is_named_and_the_rest_goes_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.sf2").write_bytes(content)
    with pytest.raises(CorruptArchiveError, match=r"bad\.sf2"):
        read_samples(tmp_path / "bad.sf2")
    (failed,) = convert_folder(tmp_path)
    assert failed.startswith("bad.sf2: ")


def test_g722_becomes_flac_of_the_same_sound(tmp_path: Path) -> None:
    samples = tune(5)
    with av.open(str(tmp_path / "a.g722"), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.rint(samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "empty.g722").write_bytes(b"")
    (failed,) = convert_folder(tmp_path)
    assert failed.startswith("empty.g722: ")
    assert not (tmp_path / "a.g722").exists()
    decoded, rate = soundfile.read(tmp_path / "a.g722.flac", dtype="float32")
    assert rate == RATE_HZ
    length = min(len(decoded), len(samples))
    delay = 22  # samples, of the codec's two filters
    assert np.corrcoef(decoded[delay:length], samples[: length - delay])[0, 1] > 0.98

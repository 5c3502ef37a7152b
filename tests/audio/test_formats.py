"""Every file is read whole, equal to ffmpeg to the sample, or refused with a message: formats, rates and headers.

ffmpeg and `axlstm.audio.mpeg` share one convention for encoder delay, so that no row needs an allowance for it.
"""

from __future__ import annotations

import io
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from axlstm.audio.open import open_sound
from axlstm.audio.read import count_frames, file_facts, load_audio, mono_blocks
from axlstm.errors import AudioError
from tests.audio.encoded import by_ffmpeg, by_libsndfile, decoded_by_ffmpeg, recording

SECONDS = 0.7
BARE = {"write_xing": "0", "id3v2_version": "0"}
Make = Callable[[], bytes]


def read(raw: bytes, first: int = 0) -> np.ndarray:
    """All from a frame on: ``(n,)``, in the file's own rate."""
    with open_sound(raw) as (file, name):
        return np.concatenate([np.empty(0, np.float32), *mono_blocks(file, name, first)])


def mp3(rate: int = 44_100, channels: int = 2, kbps: int = 64, seconds: float = SECONDS, **header: str) -> bytes:
    return by_ffmpeg(recording(seconds, rate, channels), rate, "libmp3lame", "mp3", kbps * 1000, BARE | header)


@pytest.mark.parametrize(("bits", "word_bytes"), [(24, 4), (16, 4), (32, 3)])
def test_a_wav_whose_words_are_wider_than_its_samples_is_refused(bits: int, word_bytes: int) -> None:
    """libsndfile reads such an extensible file as packed samples: noise of another length."""
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, bits, 0) + guid
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 40, 0xFFFE, 1, 16_000, 16_000 * word_bytes, word_bytes, bits) + extra
    body = b"WAVE" + fmt + struct.pack("<4sI", b"data", 16_000 * word_bytes) + bytes(range(256)) * 63 * word_bytes
    with pytest.raises(AudioError, match=rf"contradicts itself: {bits} bits a sample, but {word_bytes} bytes for 1"):
        load_audio(b"RIFF" + struct.pack("<I", len(body)) + body)


def vbr(rate: int, channels: int) -> bytes:
    samples = recording(SECONDS, rate, channels)
    samples = np.concatenate([samples, np.zeros_like(samples)])  # frames of few bits
    return by_ffmpeg(samples, rate, "libmp3lame", "mp3", None, BARE, flags="+qscale", global_quality="500")


def rows() -> dict[str, Make]:
    out: dict[str, Make] = {}
    mpeg_rates = (44_100, 48_000, 32_000, 22_050, 24_000, 16_000, 11_025, 12_000, 8_000)
    for rate, channels in product(mpeg_rates, (1, 2)):
        out[f"mp3 {rate} {channels} bare"] = lambda r=rate, c=channels: mp3(r, c)
        out[f"mp3 {rate} {channels} 32 kbps"] = lambda r=rate, c=channels: mp3(r, c, 32)
        out[f"mp3 {rate} {channels} tagged"] = lambda r=rate, c=channels: mp3(r, c, write_xing="1", id3v2_version="3")
        out[f"mp3 {rate} {channels} variable"] = lambda r=rate, c=channels: vbr(r, c)
    for rate, channels in product(mpeg_rates[:6], (1, 2)):
        for container in ("mp2", "wav"):
            out[f"mp2 in {container} {rate} {channels}"] = lambda r=rate, c=channels, k=container: by_ffmpeg(
                recording(SECONDS, r, c), r, "mp2", k, 64_000
            )
    for rate, channels in product((44_100, 22_050, 8_000), (1, 2)):
        out[f"mp3 in wav {rate} {channels}"] = lambda r=rate, c=channels: by_ffmpeg(
            recording(SECONDS, r, c), r, "libmp3lame", "wav", 64_000
        )
    plain = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
    kinds = {
        "WAV": (*plain, "IMA_ADPCM", "MS_ADPCM", "GSM610"),
        "WAVEX": plain,
        "RF64": plain,
        "W64": (*plain, "GSM610"),
        "AIFF": ("PCM_S8", *plain[1:4], "FLOAT", "ULAW"),
        "AU": plain[1:],
        "CAF": ("PCM_16", "PCM_24", "FLOAT", "ALAC_16", "ALAC_24"),
        "FLAC": ("PCM_S8", "PCM_16", "PCM_24"),
        "OGG": ("VORBIS", "OPUS"),
    }
    for kind, subtypes in kinds.items():
        for subtype in subtypes:
            low = 48_000 if subtype == "OPUS" else 8_000  # libsndfile gives Opus at the rate that was encoded
            for rate, channels in ((48_000, 1), (low, 1 if subtype == "GSM610" else 2)):
                seconds = 2.4 if kind == "OGG" else SECONDS  # ffmpeg does not trim the end of a single page
                out[f"{kind} {subtype} {rate} {channels}"] = lambda r=rate, c=channels, k=kind, s=subtype, t=seconds: (
                    by_libsndfile(recording(t, r, c), r, k, s)
                )
    others = {
        "m4a": ("aac", "ipod"),
        "alac": ("alac", "ipod"),
        "mp4": ("aac", "mp4"),
        "adts": ("aac", "adts"),
        "webm": ("libopus", "webm"),
        "matroska vorbis": ("vorbis", "matroska"),
        "matroska flac": ("flac", "matroska"),
        "wma 1": ("wmav1", "asf"),
        "wma 2": ("wmav2", "asf"),
        "ogg flac": ("flac", "ogg"),
        "ac3": ("ac3", "ac3"),
    }
    for name, (codec, container) in others.items():
        for channels in (1, 2):
            if (codec, channels) != ("vorbis", 1):  # ffmpeg's encoder has two channels only
                options = {"strict": "experimental"} if codec == "vorbis" else {}
                rate = 44_100 if container == "asf" else 48_000
                out[f"{name} {channels}"] = lambda r=rate, a=codec, k=container, c=channels, o=options: by_ffmpeg(
                    recording(SECONDS, r, c), r, a, k, 96_000, None, **o
                )
    out["amr"] = lambda: by_ffmpeg(recording(SECONDS, 8_000, 1), 8_000, "libopencore_amrnb", "amr", 12_200)
    out["3gp"] = lambda: by_ffmpeg(recording(SECONDS, 8_000, 1), 8_000, "libopencore_amrnb", "3gp", 12_200)
    out["gsm"] = lambda: by_libsndfile(recording(SECONDS, 8_000, 1), 8_000, "RAW", "GSM610")
    return out | header_rows()


def ape_tag(size: int) -> bytes:
    def edge(flags: int) -> bytes:
        words = (2000, size + 32, 1, flags, 0, 0)
        return b"APETAGEX" + b"".join(word.to_bytes(4, "little") for word in words)

    return edge(0xA000_0000) + b"q" * size + edge(0x8000_0000)


def patched(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def header_rows() -> dict[str, Make]:
    def wav(kind: str = "WAV") -> bytes:
        return by_libsndfile(recording(SECONDS, 16_000, 2), 16_000, kind, "PCM_16")

    def data_size(size: int) -> bytes:
        raw = wav()
        return patched(raw, raw.index(b"data") + 4, size.to_bytes(4, "little"))

    id3v1 = b"TAG" + b"x" * 125
    cover = b"ID3\x03\0\0\0\x04\0\0" + b"\xff\xfb\x90\0jpeg" * (4 * 128 * 128 // 8)
    return {
        "mp3 with a cover": lambda: cover + mp3(),
        "mp3 with a cover, tagged": lambda: cover + mp3(write_xing="1"),
        "mp3, ID3v1": lambda: mp3() + id3v1,
        "mp3, APE": lambda: mp3() + ape_tag(500),
        "mp3, APE and ID3v1": lambda: mp3() + ape_tag(500) + id3v1,
        "mp3 behind zeros": lambda: bytes(5000) + mp3(),
        "mp3 behind other bytes": lambda: b"\xff\xf3hello" * 50 + mp3(),
        "two mp3": lambda: mp3() + mp3(),
        "two mp3 of different bit rates": lambda: mp3() + mp3(kbps=160),
        "mp3 appended to a tagged one": lambda: mp3(write_xing="1") + mp3(),
        "wav, data of size 0": lambda: data_size(0),
        "wav, both sizes 0": lambda: patched(data_size(0), 4, bytes(4)),
        "wav to a pipe": lambda: data_size(0xFFFF_FFFF),
        "bw64": lambda: patched(wav("RF64"), 0, b"BW64"),
        "mp3 of a minute": lambda: mp3(16_000, 1, 32, seconds=60.0),
    }


ROWS = rows()


def test_there_are_enough_rows() -> None:
    assert len(ROWS) >= 150


@pytest.mark.parametrize("name", ROWS)
def test_a_file_is_decoded_whole_as_ffmpeg_decodes_it(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    raw = ROWS[name]()
    expected = decoded_by_ffmpeg(raw, "gsm" if name == "gsm" else None).mean(axis=1)
    with open_sound(raw) as (file, told):
        assert count_frames(file, told) == len(expected)
    samples = read(raw)
    assert len(samples) == len(expected)
    # MS ADPCM: libsndfile rounds a prediction below zero down, ffmpeg towards zero, and errors add up.
    # Opus: RFC 6716 asks for no equal samples of two decoders, and ffmpeg's own differs from libopus in stereo.
    np.testing.assert_allclose(samples, expected, rtol=0, atol=5e-3 if re.search("MS_ADPCM|OPUS", name) else 1e-4)
    for first in (len(samples) // 3, max(0, len(samples) - 1000)):
        np.testing.assert_allclose(read(raw, first), samples[first:], rtol=0, atol=1e-5)
    assert capfd.readouterr().err == ""


CUT = {
    "mp3": mp3,
    "tagged mp3": lambda: mp3(write_xing="1"),
    "mp2": lambda: by_ffmpeg(recording(SECONDS, 44_100, 1), 44_100, "mp2", "mp2", 64_000),
    "wav": lambda: by_libsndfile(recording(SECONDS, 16_000, 1), 16_000, "WAV", "PCM_16"),
    "flac": lambda: by_libsndfile(recording(SECONDS, 16_000, 1), 16_000, "FLAC", "PCM_16"),
    "ogg": lambda: by_libsndfile(recording(SECONDS, 16_000, 1), 16_000, "OGG", "VORBIS"),
    "m4a": lambda: by_ffmpeg(recording(SECONDS, 44_100, 1), 44_100, "aac", "ipod", 64_000),
}


@pytest.mark.parametrize("share", [0.51, 0.9])
@pytest.mark.parametrize("kind", CUT)
def test_a_file_that_is_cut_short_is_told(kind: str, share: float) -> None:
    raw = CUT[kind]()
    with pytest.raises(AudioError, match=r"cut short|damaged|cannot be decoded|not a sound file"):
        load_audio(raw[: int(len(raw) * share)])


def test_damage_is_told_with_its_time() -> None:
    raw = mp3(seconds=5.0)
    at = len(raw) * 3 // 5
    with pytest.raises(AudioError, match=r"damaged after (2\.9|3\.0)\d s: \d+ bytes that are no MPEG audio"):
        load_audio(raw[:at] + b"junk" * 100 + raw[at + 300 :])
    flac = by_libsndfile(recording(5.0, 16_000, 1), 16_000, "FLAC", "PCM_16")
    at = len(flac) * 3 // 5
    with pytest.raises(AudioError, match=r"damaged after [23]\.\d\d s"):
        load_audio(patched(flac, at, bytes(byte ^ 0x55 for byte in flac[at : at + 200])))


def test_tagged_mp3_one_behind_another_sound_as_each_alone() -> None:
    first, second = mp3(write_xing="1"), mp3(channels=1, seconds=1.1, write_xing="1", id3v2_version="3")
    expected = np.concatenate([read(first), read(second)])
    np.testing.assert_array_equal(read(first + second), expected)
    np.testing.assert_allclose(read(first + second, 40_000), expected[40_000:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_of_ogg_streams_is_read_whole(subtype: str) -> None:
    links = [by_libsndfile(recording(s, 48_000, c), 48_000, "OGG", subtype) for s, c in ((0.7, 1), (1.3, 2), (0.5, 1))]
    whole = read(b"".join(links))
    np.testing.assert_array_equal(whole, np.concatenate([read(link) for link in links]))
    np.testing.assert_allclose(read(b"".join(links), 60_000), whole[60_000:], rtol=0, atol=1e-5)


def test_a_chain_of_different_rates_is_refused() -> None:
    with pytest.raises(AudioError, match=r"chain of streams at different rates: 0\.7\d s at 44100 Hz, then 22050 Hz"):
        load_audio(mp3() + mp3(22_050))
    links = [by_libsndfile(recording(0.7, rate, 1), rate, "OGG", "VORBIS") for rate in (48_000, 16_000)]
    with pytest.raises(AudioError, match=r"0\.70 s at 48000 Hz, then 16000 Hz"):
        load_audio(links[0] + links[1])


def test_free_format_sounds_as_the_same_stream_with_its_bit_rate() -> None:
    raw = mp3(48_000, kbps=128)
    free = bytearray(raw)
    for at in range(0, len(free), 384):
        free[at + 2] &= 0x0F
    np.testing.assert_array_equal(read(bytes(free)), read(raw))


def test_a_subtype_that_cannot_be_sought_in_is_read_from_anywhere() -> None:
    raw = by_libsndfile(recording(150.0, 8_000, 1), 8_000, "WAV", "GSM610")
    whole = read(raw)
    np.testing.assert_array_equal(read(raw, 140 * 8_000), whole[140 * 8_000 :])


def test_an_ape_tag_that_claims_no_size_comes_to_an_end() -> None:
    raw, footer = mp3(), b"APETAGEX" + (2000).to_bytes(4, "little") + bytes(20)
    np.testing.assert_array_equal(read(raw + footer), read(raw))


def test_the_way_to_a_late_frame_does_not_fill_the_memory() -> None:
    rate, seconds = 16_000, 120
    raw = by_ffmpeg(recording(seconds, rate, 1), rate, "aac", "mp4", 32_000)
    with open_sound(raw) as (file, _):
        tracemalloc.start()
        file.seek(rate * (seconds - 1))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * rate * seconds / 4
        assert len(file.read(rate)) == rate


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.audio.ffmpeg.find_spec", lambda _: None)
    with pytest.raises(AudioError, match=r'pip install "axlstm\[av\]"'):
        load_audio(ROWS["m4a 1"]())


class Trickle(io.RawIOBase):
    """An unbuffered file that gives a thousand bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self.whole = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.whole.seek(offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        return self.whole.readinto(memoryview(buffer)[:1000])


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "WAV"])
def test_a_file_object_that_gives_less_than_it_is_asked_for(kind: str) -> None:
    raw = by_libsndfile(recording(3.0, 16_000, 1), 16_000, kind, "VORBIS" if kind == "OGG" else "PCM_16")
    np.testing.assert_array_equal(load_audio(Trickle(raw)), load_audio(raw))


def test_objects_that_are_no_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(CUT["wav"]())
    with path.open("rb") as file:
        pass
    with pytest.raises(AudioError, match="closed file object"):
        load_audio(file)
    with path.open(encoding="latin-1") as file, pytest.raises(AudioError, match="mode 'rb'"):
        load_audio(file)  # type: ignore[arg-type]
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(AudioError, match="git lfs pull"):
        load_audio(path)


def test_frames_of_a_long_mp3_are_counted_in_a_moment(tmp_path: Path) -> None:
    raw, path = mp3(seconds=5.0), tmp_path / "long.mp3"
    path.write_bytes(raw * (50_000_000 // len(raw)))
    began = time.process_time()
    file_facts(path)
    assert time.process_time() - began < 0.5


def edited(rng: np.random.Generator, raw: bytes) -> bytes:
    """A file with some bytes changed, removed, doubled or zeroed."""
    data = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data)))
        count = int(rng.integers(1, 200))
        match rng.integers(5):
            case 0:
                data[at] ^= 1 << rng.integers(8)
            case 1:
                del data[at : at + count]
            case 2:
                data[at:at] = data[at : at + count]
            case 3:
                data[at : at + count] = bytes(len(data[at : at + count]))
            case _:
                data[at : at + count] = rng.bytes(len(data[at : at + count]))
    return bytes(data)


@pytest.mark.parametrize("edits", [200, pytest.param(2_000, marks=pytest.mark.slow)])
def test_an_edited_file_is_read_whole_or_refused(edits: int) -> None:
    rng = np.random.default_rng(edits)
    whole = {kind: make() for kind, make in CUT.items()}
    lengths = {kind: len(load_audio(raw)) for kind, raw in whole.items()}
    for number in range(edits):
        kind = list(whole)[number % len(whole)]
        raw = edited(rng, whole[kind])
        try:
            samples = read(raw)
        except AudioError:
            continue
        try:
            expected = len(decoded_by_ffmpeg(raw))
        except (av.FFmpegError, ValueError):
            continue
        assert len(samples) == expected, f"edit {number} of {kind}; whole: {lengths[kind]}"

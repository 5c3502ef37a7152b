"""Every file is read whole, equal to ffmpeg to the sample, or refused with a message: formats, rates and headers.

ffmpeg and `axlstm.audio.mpeg` share one convention for encoder delay, so that no row needs an allowance for it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from axlstm.audio.read import count_frames, mono_blocks, open_sound
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
            for rate, channels in ((48_000, 1), (8_000, 1 if subtype == "GSM610" else 2)):
                out[f"{kind} {subtype} {rate} {channels}"] = lambda r=rate, c=channels, k=kind, s=subtype: (
                    by_libsndfile(recording(SECONDS, r, c), r, k, s)
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
                out[f"{name} {channels}"] = lambda a=codec, k=container, c=channels, o=options: by_ffmpeg(
                    recording(SECONDS, 48_000, c), 48_000, a, k, None, None, **o
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
        "mp3 of three minutes": lambda: mp3(16_000, 1, 32, seconds=180.0),
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
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1e-4)
    for first in (len(samples) // 3, max(0, len(samples) - 1000)):
        np.testing.assert_allclose(read(raw, first), samples[first:], rtol=0, atol=1e-5)
    assert capfd.readouterr().err == ""

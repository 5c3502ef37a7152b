"""Sound as bytes: every encoding, headers of recorders that write into pipes, reads of any size."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from axlstm.audio.pcm import PcmFormat, read_blocks, read_wav_header
from axlstm.errors import AudioError
from tests.seeded import audio

STEREO = np.stack([audio(0.5, 1), audio(0.5, 2)], axis=1)


class Pipe(io.BytesIO):
    """A file that gives a few bytes at a time, as pipes do."""

    def read1(self, size: int | None = -1) -> bytes:
        return super().read(min(7, size or 7))

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size or 3))


@pytest.mark.parametrize(
    ("encoding", "subtype"),
    [
        ("u8", "PCM_U8"),
        ("s16le", "PCM_16"),
        ("s24le", "PCM_24"),
        ("s32le", "PCM_32"),
        ("f32le", "FLOAT"),
        ("f64le", "DOUBLE"),
    ],
)
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RAW"])
def test_reads_what_libsndfile_writes(encoding: str, subtype: str, kind: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, STEREO, 44_100, subtype, format=kind)
    pipe = Pipe(file.getvalue())
    expected, _ = soundfile.read(
        io.BytesIO(file.getvalue()),
        dtype="float32",
        **({"samplerate": 44_100, "channels": 2, "format": "RAW", "subtype": subtype} if kind == "RAW" else {}),
    )
    stored, size = PcmFormat(encoding, 44_100, 2), None  # type: ignore[arg-type]
    if kind != "RAW":
        found, size = read_wav_header(pipe, "the pipe")
        assert found == stored
    blocks = list(read_blocks(pipe, stored, size))
    assert len(blocks) > 100
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def wav(data: bytes, announced: int, extra: bytes = b"") -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RIFF\xff\xff\xff\xffWAVE" + extra + fmt + struct.pack("<4sI", b"data", announced) + data


@pytest.mark.parametrize("announced", [0, 0xFFFF_FFFF, 0x7FFF_F000, 8])
def test_an_open_length_reads_to_the_end(announced: int) -> None:
    pipe = Pipe(wav(struct.pack("<4h", 1, -1, 2, -2) + b"junk" * (announced == 8), announced, b"LIST\x03\0\0\0abc\0"))
    stored, size = read_wav_header(pipe, "the pipe")
    assert size == (8 if announced == 8 else None)
    np.testing.assert_array_equal(
        np.concatenate(list(read_blocks(pipe, stored, size)))[:, 0] * 2**15, np.array([1, -1, 2, -2])
    )


@pytest.mark.parametrize("highest", [0, 0x7F, 0xFF])
def test_24_bits_in_the_low_bytes_of_32(highest: int) -> None:
    """ALSA's S24_LE. What the highest byte holds is up to the driver."""
    stereo = io.BytesIO()
    soundfile.write(stereo, STEREO, 44_100, "PCM_24", format="RAW")
    packed = np.frombuffer(stereo.getvalue(), dtype="u1").reshape(-1, 3)
    wide = np.insert(packed, 3, highest, axis=1).tobytes()
    expected = np.concatenate(list(read_blocks(Pipe(packed.tobytes()), PcmFormat("s24le", 44_100, 2))))
    found = np.concatenate(list(read_blocks(Pipe(wide), PcmFormat("s24in32le", 44_100, 2))))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("tag", "bits", "frame_bytes"), [(1, 24, 8), (1, 16, 8), (1, 24, 7), (3, 32, 4)])
def test_samples_in_wider_words_are_not_guessed(tag: int, bits: int, frame_bytes: int) -> None:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, 2, 48_000, 48_000 * frame_bytes, frame_bytes, bits)
    header = b"RIFF\xff\xff\xff\xffWAVE" + fmt + struct.pack("<4sI", b"data", 0)
    with pytest.raises(AudioError, match=rf"{bits} bits, 2 of them in {frame_bytes} bytes: .*--raw: s24in32le"):
        read_wav_header(Pipe(header), "the pipe")


def test_24_valid_bits_of_32_are_in_the_high_bytes() -> None:
    """As the extensible header defines them."""
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, 24, 0) + guid
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 40, 0xFFFE, 1, 48_000, 192_000, 4, 32) + extra
    pipe = Pipe(b"RIFF\xff\xff\xff\xffWAVE" + fmt + struct.pack("<4sIi", b"data", 4, 2**30))
    stored, size = read_wav_header(pipe, "the pipe")
    assert stored == PcmFormat("s32le", 48_000)
    assert next(read_blocks(pipe, stored, size)).tolist() == [[0.5]]


def test_half_a_sample_at_the_end_is_dropped() -> None:
    blocks = list(read_blocks(Pipe(b"\0\0\0\0\0"), PcmFormat("s16le", 16_000, 2)))
    assert [block.shape for block in blocks] == [(1, 2)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"OggS and more of it", r"begins with b'OggS and mor', expected a WAV header.*--raw"),
        (b"RIFF", "ends in its WAV header"),
        (wav(b"", 0)[:30], "ends in its WAV header"),
        (b"RIFF\0\0\0\0WAVEdata\x08\0\0\0", "samples come before its format"),
        (b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0abcd", "a format of 4 bytes"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff", "damaged WAV header"),
        (wav(b"", 0).replace(struct.pack("<HH", 1, 1), struct.pack("<HH", 2, 1), 1), "a WAV of format 2 with 16 bits"),
        (wav(b"", 0).replace(struct.pack("<HH", 1, 1), struct.pack("<HH", 1, 0), 1), "0 channels: expected 1 to 64"),
    ],
)
def test_what_is_no_wav_says_so(content: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        read_wav_header(Pipe(content), "the pipe")


def test_impossible_formats() -> None:
    with pytest.raises(AudioError, match="encoding 'mp3': expected one of u8, s16le"):
        PcmFormat("mp3", 16_000)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="sample_rate=0: expected a number of Hz"):
        PcmFormat("s16le", 0)

"""Read sound from a pipe that may never end: WAV, or samples without a header."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.arrays import MOST_CHANNELS
from axlstm.audio.resample import check_rate
from axlstm.errors import AudioError
from axlstm.options import Encoding

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

_STORED = {"u8": "u1", "s16le": "<i2", "s24in32le": "<i4", "s32le": "<i4", "f32le": "<f4", "f64le": "<f8"}
_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s24in32le": 4, "s32le": 4, "f32le": 4, "f64le": 8}
_WAVE_PCM, _WAVE_FLOAT, _WAVE_EXTENSIBLE = 1, 3, 0xFFFE
_WAVE_ENCODINGS: dict[tuple[int, int], Encoding] = {
    (_WAVE_PCM, 8): "u8",
    (_WAVE_PCM, 16): "s16le",
    (_WAVE_PCM, 24): "s24le",
    (_WAVE_PCM, 32): "s32le",
    (_WAVE_FLOAT, 32): "f32le",
    (_WAVE_FLOAT, 64): "f64le",
}
_UNKNOWN_SIZE = 0x7FFF_0000  # programs that write into a pipe announce 0 or a size near the maximum
_READ_BYTES = 1 << 16
_LONGEST_CHUNK = 1 << 24  # bytes of a header chunk; a longer one is damage


@dataclass(frozen=True)
class PcmFormat:
    """The encoding of samples; channels are interleaved.

    Raises:
        AudioError: a value is not possible.
    """

    encoding: Encoding
    sample_rate_hz: int
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise AudioError(f"encoding {self.encoding!r}: expected one of {', '.join(ENCODINGS)}")
        check_rate(self.sample_rate_hz)
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise AudioError(f"{self.channels} channels: expected 1 to {MOST_CHANNELS}")

    @property
    def frame_bytes(self) -> int:
        """Count the bytes of one sample of all channels."""
        return _BYTES[self.encoding] * self.channels

    def decode(self, content: bytes) -> NDArray[np.floating]:
        """Decode whole samples of all channels, full scale at 1: ``(n, channels)``, float64 if they are stored so."""
        if self.encoding == "s24le":
            wide = np.zeros((len(content) // 3, 4), dtype="u1")
            wide[:, 1:] = np.frombuffer(content, dtype="u1").reshape(-1, 3)
            values = wide.reshape(-1).view("<i4") / 2.0**31
        else:
            values = np.frombuffer(content, dtype=_STORED[self.encoding])
            if self.encoding == "s24in32le":
                values = np.left_shift(values, 8)  # the highest byte is no part of the sample
            if self.encoding == "u8":
                values = (values - 128.0) / 2.0**7
            elif values.dtype.kind == "i":
                values = values / 2.0 ** (8 * values.dtype.itemsize - 1)
        stored = self.encoding == "f64le"  # as they are: values beyond float32 are reported, not rounded to infinity
        return (values if stored else values.astype(np.float32)).reshape(-1, self.channels)


def open_stream(source: str) -> BinaryIO:
    """Open a pipe or file to be read as it grows.

    Raises:
        AudioError: there is none, or it cannot be opened.
    """
    path = Path(source)
    try:
        if path.is_dir():
            raise AudioError(
                f"{source}: a folder; expected a pipe or a file, or - for stdin. axlstm embed takes folders"
            )
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"{source}: no such pipe or file; - stands for stdin") from error
    except OSError as error:
        raise AudioError(f"{source}: cannot be opened ({error.strerror})") from error


def read_wav_header(file: BinaryIO, name: str) -> tuple[PcmFormat, int | None]:
    """Read a WAV up to its first sample, and return the encoding of its samples and their size in bytes.

    The size is None where the header leaves it open, as recorders do that write into a pipe.

    Raises:
        AudioError: the file is no WAV, or its encoding is neither PCM nor float.
    """
    start = _read_all(file, 12, name)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise AudioError(
            f"{name}: begins with {start!r}, expected a WAV header; "
            "for samples without one, say how they are stored (--raw, --rate, --channels)"
        )
    chosen: PcmFormat | None = None
    while True:
        kind, size = struct.unpack("<4sI", _read_all(file, 8, name))
        if kind == b"data":
            if chosen is None:
                raise AudioError(f"{name}: a WAV whose samples come before its format")
            return chosen, None if size == 0 or size >= _UNKNOWN_SIZE else size
        if size > _LONGEST_CHUNK:
            raise AudioError(f"{name}: a damaged WAV header (a {kind!r} part of {size} bytes)")
        content = _read_all(file, size + size % 2, name)
        if kind == b"fmt ":
            chosen = _wave_format(content, name)


def _wave_format(content: bytes, name: str) -> PcmFormat:
    if len(content) < 16:
        raise AudioError(f"{name}: a damaged WAV header (a format of {len(content)} bytes)")
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", content)
    if tag == _WAVE_EXTENSIBLE and len(content) >= 26:
        (tag,) = struct.unpack_from("<H", content, 24)
    if (tag, bits) not in _WAVE_ENCODINGS:
        raise AudioError(
            f"{name}: a WAV of format {tag} with {bits} bits; expected PCM or float ({' '.join(ENCODINGS)})"
        )
    stored = PcmFormat(_WAVE_ENCODINGS[tag, bits], rate_hz, channels)
    if frame_bytes not in (0, stored.frame_bytes):
        raise AudioError(
            f"{name}: a WAV with samples of {bits} bits, {channels} of them in {frame_bytes} bytes: it does not say "
            "where the bits lie. Send the samples without a header, and say it with --raw: s24in32le has 24 bits in "
            "the low bytes of 32 (ALSA's S24_LE), s32le has them in the high ones"
        )
    return stored


def _read_all(file: BinaryIO, size: int, name: str) -> bytes:
    content = b""
    while len(content) < size:
        more = file.read(size - len(content))
        if not more:
            raise AudioError(f"{name}: ends in its WAV header")
        content += more
    return content


def read_blocks(file: BinaryIO, stored: PcmFormat, size: int | None = None) -> Iterator[NDArray[np.floating]]:
    """Read samples ``(n, channels)`` as soon as they arrive, in blocks of any size.

    An incomplete sample at the end is dropped.

    Args:
        file: a buffered binary file, pipe or socket (with ``read1``).
        stored: the encoding of the samples.
        size: bytes to read; None reads to the end.

    Raises:
        AudioError: fewer bytes than ``size``, after the samples that were there.
    """
    left = float("inf") if size is None else size
    content = b""
    while left > 0:
        more = file.read1(int(min(_READ_BYTES, left)))  # type: ignore[attr-defined]
        if not more and size is not None:
            bytes_per_s = stored.frame_bytes * stored.sample_rate_hz
            there_s, announced_s = (size - left) / bytes_per_s, size / bytes_per_s
            raise AudioError(f"cut short: {there_s:.2f} s of the {announced_s:.2f} s that its header announces")
        if not more:
            return
        left -= len(more)
        content += more
        whole = len(content) - len(content) % stored.frame_bytes
        if whole:
            yield stored.decode(content[:whole])
        content = content[whole:]

"""Draw the spectrogram of any stretch of a recording as a PNG, in a time that does not grow with the stretch.

A short stretch is read as a whole. Of a long one, a piece is read for each column or every few columns.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.arrays import mean_channel
from axlstm.audio.open import Sound, open_sound
from axlstm.errors import AudioError, ConfigError

Theme = Literal["dark", "light"]
MOST_WIDTH, MOST_HEIGHT = 2000, 600
_LEAST_SIZE = 16
_MOST_WHOLE = 1 << 22  # samples of all channels that are read as a whole
_MOST_PIECES = 160  # that are read of a longer stretch, each after a seek
_MOST_PIECED = 1 << 21  # samples of all channels in them
_WINDOWS_S = (0.004, 0.032)  # least and most of the Fourier transform's window
_COLUMNS_IN_WINDOW = 3
_BINS_IN_ROW = 2  # frequencies of the transform: more are not seen, and at the rates of bat recorders they take long
_FRAMES_AT_ONCE = 512
_DYNAMIC_DB = (30.0, 80.0)  # least and most between the darkest and the brightest
_PALETTES: dict[Theme, tuple[tuple[int, int, int], ...]] = {
    "dark": (
        (10, 10, 22),
        (44, 26, 92),
        (122, 36, 124),
        (205, 66, 96),
        (250, 142, 64),
        (253, 226, 134),
        (255, 252, 230),
    ),
    "light": (
        (255, 255, 255),
        (222, 232, 244),
        (160, 196, 226),
        (88, 142, 198),
        (40, 88, 160),
        (22, 42, 104),
        (8, 12, 40),
    ),
}


@dataclass(frozen=True)
class View:
    """The stretch and the band that a picture shows, and its size in pixels.

    Raises:
        ConfigError: something is out of range.
    """

    start_s: float
    end_s: float
    low_hz: float = 0.0
    high_hz: float | None = None
    width: int = 800
    height: int = 256
    theme: Theme = "dark"

    def __post_init__(self) -> None:
        if not (0 <= self.start_s < self.end_s < 1e9):
            raise ConfigError(f"{self.start_s:g} to {self.end_s:g} s: expected 0 or more, and an end behind the start")
        if not 0 <= self.low_hz < (1e9 if self.high_hz is None else self.high_hz) <= 1e9:
            raise ConfigError(f"{self.low_hz:g} to {self.high_hz} Hz: expected 0 or more, and a band that is not empty")
        if not (_LEAST_SIZE <= self.width <= MOST_WIDTH and _LEAST_SIZE <= self.height <= MOST_HEIGHT):
            raise ConfigError(
                f"a picture of {self.width} x {self.height}: expected {_LEAST_SIZE} to {MOST_WIDTH} x {MOST_HEIGHT}"
            )
        if self.theme not in _PALETTES:
            raise ConfigError(f"theme {self.theme!r}: expected one of {', '.join(_PALETTES)}")


@dataclass(frozen=True)
class Picture:
    """A spectrogram as a PNG; the share of the stretch's samples that it was computed from, and its columns.

    ``high_hz`` is where the picture ends: half of the recording's rate at most.
    """

    png: bytes
    columns: int
    share: float
    low_hz: float
    high_hz: float


def draw_spectrogram(path: Path, view: View) -> Picture:
    """Draw the spectrogram of a stretch of a sound file, on linear scales of time and frequency.

    Args:
        view: a stretch that goes on beyond the end of the sound is cut there.

    Raises:
        AudioError, FileNotFoundError: the file cannot be read, or the stretch begins behind its end.
        ConfigError: a band above half of the rate.
    """
    with open_sound(path) as (file, name):
        rate = file.samplerate
        total = file.frames if file.frames is not None else round(view.end_s * rate)
        first, stop = int(view.start_s * rate), min(round(view.end_s * rate), total)
        if first >= stop:
            raise AudioError(f"{name}: nothing at {view.start_s:g} s; it has {total / rate:.2f} s")
        high_hz = min(rate / 2, view.high_hz or rate / 2)
        if view.low_hz >= high_hz:
            raise ConfigError(f"{view.low_hz:g} Hz: above half of the rate of {name}, {rate / 2:g} Hz")
        size = _window_size(rate, (stop - first) / rate / view.width, view.height * rate / (high_hz - view.low_hz))
        pieces = _read(file, first, stop, size, view.width)
        powers, read = _spectra(pieces, size, view.width)  # (W, F)
    rows = _choose_rows(powers, rate, view.low_hz, high_hz, view.height)  # (H, W)
    png = write_png(_levels(rows), _palette(view.theme))
    return Picture(png, powers.shape[0], min(1.0, read / (stop - first)), view.low_hz, high_hz)


def _window_size(rate: int, column_s: float, rows: float) -> int:
    """Choose the window by the time that a column stands for: a power of two of samples.

    Args:
        rows: that all frequencies up to the rate would have.
    """
    seconds = min(max(_COLUMNS_IN_WINDOW * column_s, _WINDOWS_S[0]), _WINDOWS_S[1])
    most = np.ceil(np.log2(_BINS_IN_ROW * rows))
    return 1 << int(max(6, min(round(np.log2(rate * seconds)), most)))


def _read(
    file: Sound, first: int, stop: int, size: int, width: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Give pieces of a stretch: samples ``(n,)``, and where in them the windows of its columns begin ``(c,)``."""
    half = size // 2
    if (stop - first) * file.channels <= _MOST_WHOLE:
        begin = max(0, first - half)
        samples = _read_mono(file, begin, stop + half - begin)
        hops = max(1, min(4, (stop - first) // max(1, width * half)))  # windows in a column
        centres = first + (np.arange(width * hops) + 0.5) * (stop - first) / (width * hops)
        yield samples, np.round(centres).astype(np.int64) - half - begin
        return
    pieces = min(width, _MOST_PIECES)
    halves = int(np.clip(_MOST_PIECED / (pieces * half * file.channels), 3, 8))  # of windows, in a piece
    for number in range(pieces):
        centre = round(first + (number + 0.5) * (stop - first) / pieces)
        begin = max(0, centre - halves * half // 2)
        yield _read_mono(file, begin, halves * half), np.arange(halves - 1) * half


def _read_mono(file: Sound, begin: int, count: int) -> NDArray[np.float32]:
    file.seek(begin)
    blocks = []
    while count > 0 and len(block := file.read(count)):
        blocks.append(mean_channel(block))
        count -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _spectra(
    pieces: Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]], size: int, width: int
) -> tuple[NDArray[np.float64], int]:
    """Return the mean power of each column ``(C, F)``, and how many samples it was computed from."""
    hann = np.hanning(size + 1)[:-1].astype(np.float32)  # (n,), periodic
    columns, read = [], 0
    for samples, begins in pieces:
        read += len(samples)
        padded = np.pad(samples, (size, 2 * size))
        starts = np.clip(begins + size, 0, len(padded) - size)
        powers = np.concatenate(
            [
                np.abs(np.fft.rfft(padded[starts[at : at + _FRAMES_AT_ONCE, None] + np.arange(size)] * hann)) ** 2
                for at in range(0, len(starts), _FRAMES_AT_ONCE)
            ]
        )  # (c, F)
        columns.append(powers)
    if len(columns) == 1:
        powers = columns[0].reshape(width, -1, columns[0].shape[1]).mean(axis=1)
    else:
        powers = np.stack([piece.mean(axis=0) for piece in columns])
        powers = powers[np.arange(width) * len(powers) // width]
    return powers / float((hann**2).sum()), read


def _choose_rows(
    powers: NDArray[np.float64], rate: int, low_hz: float, high_hz: float, height: int
) -> NDArray[np.float64]:
    """Read the powers of a band in decibels, the highest frequency first ``(H, W)``.

    Where a row stands for several bins, the loudest of them is taken; where for less than one, its neighbours are
    joined by a line.
    """
    bins = powers.shape[1]
    decibels = 10 * np.log10(powers + 1e-12)
    edges = np.linspace(high_hz, low_hz, height + 1) / (rate / 2) * (bins - 1)  # falling
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.clip(np.floor(centres).astype(int), 0, bins - 2)
    share = np.clip(centres - below, 0, 1)
    rows = decibels[:, below] * (1 - share) + decibels[:, below + 1] * share  # (W, H)
    if edges[0] - edges[1] > 1:
        first = np.clip(np.ceil(edges[1:]).astype(int), 0, bins - 1)
        rows = np.maximum(rows, decibels[:, first])
        for more in range(1, int(edges[0] - edges[1]) + 1):
            inside = np.minimum(first + more, bins - 1)
            inside = np.where(inside <= edges[:-1], inside, first)
            rows = np.maximum(rows, decibels[:, inside])
    return rows.T


def _levels(decibels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale decibels to 256 levels, from the background of this picture to its loudest points.

    Where nothing stands out from the background, the picture stays dark.
    """
    median, high = np.percentile(decibels, [50, 99.9])
    low = max(median, high - _DYNAMIC_DB[1])
    span = max(high - low, _DYNAMIC_DB[0])
    return np.round(255 * np.clip((decibels - low) / span, 0, 1)).astype(np.uint8)


def _palette(theme: Theme) -> NDArray[np.uint8]:
    anchors = np.array(_PALETTES[theme], np.float64)  # (k, 3)
    places = np.linspace(0, len(anchors) - 1, 256)
    colours = [np.interp(places, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.round(np.stack(colours, axis=1)).astype(np.uint8)


def write_png(levels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Write levels ``(H, W)`` in the colours of a palette ``(256, 3)`` as a PNG (W3C, Portable Network Graphics)."""
    height, width = levels.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line behind its filter, which is none
    lines[:, 1:] = levels
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )

"""Read stretches of sound files: queries, and clips of hits."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.audio.open import open_sound
from axlstm.audio.read import count_frames, mono_blocks
from axlstm.errors import AudioError, ConfigError
from axlstm.files import atomic_path, is_file

_STRETCH = re.compile(r"(?P<path>.+)@(?P<begin>\d+(\.\d*)?|\.\d+)-(?P<end>\d+(\.\d*)?|\.\d+)", re.DOTALL)

_MOST_HZ = 48_000  # that every browser plays
_LEAST_PEAK = 1e-3  # below it a sound is played as it is: there is nothing in it but noise


class Stretch(NamedTuple):
    """A part of a sound in seconds; None is its beginning or end."""

    begin_s: float | None = None
    end_s: float | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether it is all of the sound."""
        return self.begin_s is None


def split_stretch(text: str) -> tuple[str, Stretch]:
    """Split ``PATH@1.5-3.0`` into the path and the stretch; a path alone, or a file of that name, is all of a sound.

    Raises:
        ConfigError: a stretch that ends before it begins.
    """
    found = _STRETCH.fullmatch(text)
    if found is None or is_file(Path(text)):
        return text, Stretch()
    begin_s, end_s = float(found["begin"]), float(found["end"])
    if end_s <= begin_s:
        raise ConfigError(f"{text}: the stretch ends before it begins; expected PATH@BEGIN-END in seconds")
    return found["path"], Stretch(begin_s, end_s)


def hint_stretch(name: str) -> str:
    """Return how a stretch is written, for the end of a message about a name that is of nothing and may mean one."""
    return "; a stretch is written as PATH@BEGIN-END in seconds, such as wren.wav@1.5-3" if "@" in name else ""


def check_inside(name: str, stretch: Stretch, duration_s: float) -> None:
    """Refuse a stretch that is not in a sound, with an `AudioError`."""
    if stretch.begin_s is not None and stretch.end_s is not None and stretch.end_s > duration_s + 0.05:
        raise AudioError(
            f"{name}: {stretch.begin_s:g} to {stretch.end_s:g} s were asked for, and it has {duration_s:.2f} s"
        )


def read_stretch(path: Path, stretch: Stretch, most: float = math.inf) -> tuple[NDArray[np.float32], int]:
    """Read the mean of the channels of a stretch, ``(n,)``, in the file's own rate, and that rate in Hz.

    Args:
        most: samples to read.

    Raises:
        AudioError, FileNotFoundError: it cannot be read, or ends before the stretch does.
        ConfigError: it has more samples.
    """
    with open_sound(path) as (file, name):
        rate = file.samplerate
        first, count = 0, math.inf
        if stretch.begin_s is not None and stretch.end_s is not None:
            check_inside(name, stretch, count_frames(file, name) / rate)
            first = math.floor(stretch.begin_s * rate)
            count = max(1, round(stretch.end_s * rate) - first)
            if count > most:
                told = f"{name}: {count / rate:.0f} s were asked for; expected at most {most / rate:.0f} s at {rate} Hz"
                raise ConfigError(told)
    with open_sound(path) as (file, name):  # anew: counting the frames may have read it
        samples = [block.copy() for block in mono_blocks(file, name, first, count)]
    if not samples:
        raise AudioError(f"{path}: holds no sound from {stretch.begin_s or 0:g} s on")
    return np.concatenate(samples), rate


def encode_sound(samples: NDArray[np.float32], rate_hz: int, format: Literal["WAV", "FLAC"] = "WAV") -> bytes:
    """Return samples ``(n,)`` as a sound file, in 16 bits, at most 48 kHz, as loud as that holds."""
    if rate_hz > _MOST_HZ:
        samples, rate_hz = soxr.resample(samples, rate_hz, _MOST_HZ), _MOST_HZ
    peak = float(np.abs(samples).max(initial=0.0))
    content = io.BytesIO()
    loud = samples * (0.99 / peak) if peak > _LEAST_PEAK else samples
    soundfile.write(content, loud, rate_hz, subtype="PCM_16", format=format)
    return content.getvalue()


def constant_of(blocks: Iterable[NDArray[np.float32]]) -> float | None:
    """Return the value that all samples of a sound have, which is silence; None if some differ or there are none.

    The first one that differs ends it.
    """
    first: float | None = None
    for block in blocks:
        if len(block):
            first = float(block[0]) if first is None else first
            if (block != first).any():
                return None
    return first


def refuse_silence(name: str, constant: float | None) -> None:
    """Refuse a sound by what `constant_of` says of it, with an `AudioError`."""
    if constant is not None:
        raise AudioError(
            f"{name}: silence (all samples are {constant:g}), which nothing is like; choose a stretch with sound"
        )


def write_stretch(path: Path, source: Path, stretch: Stretch) -> None:
    """Write a stretch of a file as WAV, in its own rate, with all of its channels, in 16 bits or more.

    Raises:
        AudioError, FileNotFoundError: as `read_stretch`.
        WriteError: the disk is full or fails.
    """
    assert stretch.begin_s is not None
    assert stretch.end_s is not None
    with open_sound(source) as (file, name):
        rate, channels, stored = file.samplerate, file.channels, file.subtype_info
        check_inside(name, stretch, count_frames(file, name) / rate)
    first = math.floor(stretch.begin_s * rate)
    left = max(1, round(stretch.end_s * rate) - first)
    with open_sound(source) as (file, name), atomic_path(path) as temporary, temporary.open("wb") as opened:
        disk = _Disk(opened)
        try:
            file.seek(first)
            with soundfile.SoundFile(disk, "w", rate, channels, _wav_subtype(stored), format="WAV") as out:
                while left and len(block := file.read(min(left, rate * 30))):
                    out.write(block)
                    left -= len(block)
        except AudioError as error:
            raise AudioError(f"{name}: {error}") from error
        if disk.error is not None:
            raise disk.error


class _Disk:
    """A file that libsndfile writes to, which keeps the first error of the disk and goes on as if there were none.

    libsndfile says "System error" of some errors, and nothing of others.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        return self._try(lambda: self._file.write(content), len(content))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(lambda: self._file.seek(offset, whence), 0)

    def tell(self) -> int:
        return self._try(self._file.tell, 0)

    def _try(self, work: Callable[[], int], otherwise: int) -> int:
        try:
            return otherwise if self.error else work()
        except OSError as error:
            self.error = error
            return otherwise


def _wav_subtype(stored: str) -> str:
    """Choose a subtype of WAV that holds what a file holds."""
    if "float" in stored.lower():
        return "FLOAT"
    return "PCM_16" if "16 bit" in stored else "PCM_24"

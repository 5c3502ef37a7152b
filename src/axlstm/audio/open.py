"""Open sound files with the decoder that fits them: libsndfile, our MPEG and Ogg readers over it, or FFmpeg."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.ffmpeg import FfmpegSound, ffmpeg_reads, is_installed
from axlstm.audio.find import EXTENSIONS
from axlstm.audio.mpeg import MpegSound, begins_mpeg
from axlstm.audio.ogg import OggSound
from axlstm.audio.resample import FASTEST_HZ, SLOWEST_HZ
from axlstm.audio.riff import Wav, read_wav
from axlstm.audio.source import ForwardFile, Source, open_span
from axlstm.errors import AudioError

MOST_VALUES = 1 << 24
"""Values of all channels in a block, whatever rate a header claims."""

_NOT_STATED = 2**63 - 1  # frames, in libsndfile's words for a FLAC file that was written to a pipe


class Sound(Protocol):
    """A sound file that is open, whatever decodes it."""

    samplerate: int  # in Hz
    channels: int
    format_info: str
    subtype_info: str

    @property
    def frames(self) -> int | None:
        """Return the length; None if only decoding tells."""

    def read(self, frames: int) -> NDArray[np.floating]:
        """Read the next samples ``(n, C)``, float64 where they are stored so: at most ``frames``, none at the end."""

    def seek(self, frame: int) -> None:
        """Go to a frame before any is read."""

    def close(self) -> None:
        """Free what decodes it."""


class _LibsndfileSound:
    """A sound file that libsndfile decodes. See `Sound`."""

    def __init__(self, stream: Any, wav: Wav | None = None) -> None:
        self._file = ForwardFile(stream)
        self.samplerate, self.channels = self._file.samplerate, self._file.channels
        self.format_info, self.subtype_info = self._file.format_info, self._file.subtype_info
        self.frames = None if self._file.frames == _NOT_STATED else int(self._file.frames)
        self._most = self.frames or _NOT_STATED
        if wav is not None and self.frames is not None:
            self._most = min(self.frames, wav.most_frames or self.frames)
            self.frames = wav.promised_frames or self._most
        self._dtype = "float64" if self._file.subtype == "DOUBLE" else "float32"
        self._position = 0

    def read(self, frames: int) -> NDArray[np.floating]:
        try:
            block: NDArray[np.floating] = self._file.read(
                max(0, min(frames, self._most - self._position)), dtype=self._dtype, always_2d=True
            )
        except soundfile.LibsndfileError as error:
            raise AudioError(f"damaged after {self._file.tell() / self.samplerate:.2f} s ({error})") from error
        self._position += len(block)
        return block

    def seek(self, frame: int) -> None:
        if soundfile.SoundFile.seekable(self._file):
            self._position = self._file.seek(min(frame, self._file.frames))
            return
        while frame > 0:
            frame -= len(self.read(min(frame, MOST_VALUES // self.channels))) or frame

    def close(self) -> None:
        self._file.close()


def source_name(source: Any) -> str:
    """Name anything that `axlstm.audio.read.load_audio` takes, for messages."""
    if isinstance(source, (str, os.PathLike)):
        return str(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the bytes given"
    name = getattr(source, "name", None) if hasattr(source, "read") else "the array"
    return name if isinstance(name, str) else "the file object given"  # a number names a pipe


class open_sound:
    """Open a sound file of a path, bytes or file object, and name it for messages.

    Raises:
        AudioError: a file that is no sound, or empty.
        FileNotFoundError: a path without a file.
    """

    def __init__(self, source: Any) -> None:
        self.stream: Any = source
        self.name = source_name(source)
        self.source: Source | None = None
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.stream = io.BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            if path.is_dir():
                raise AudioError(f"{path}: a folder, expected a sound file")
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such file")
            self.stream = path.open("rb")
        self.owned = isinstance(source, (str, os.PathLike))

    def __enter__(self) -> tuple[Sound, str]:
        try:
            self.source = Source(self.stream, self.name)
            self.sound = _open(self.source)
        except BaseException:
            self._close_stream()
            raise
        return self.sound, self.name

    def __exit__(self, *_: object) -> None:
        self.sound.close()
        self._close_stream()

    def _close_stream(self) -> None:
        if self.source is not None:
            self.source.close()
        if self.owned:
            self.stream.close()


def is_sound(path: Path) -> bool:
    """Tell whether a file can be opened as a sound, or has the name of one."""
    try:
        with open_sound(path):
            return True
    except AudioError:
        return path.suffix.lower() in EXTENSIONS


def _open(source: Source) -> Sound:
    name = source.name
    if source.size == 0:
        raise AudioError(f"{name}: an empty file")
    try:
        sound = _decoder(source)
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from error
    fault = ""
    if sound.frames == 0:
        fault = "holds no samples"
    elif not SLOWEST_HZ <= sound.samplerate <= FASTEST_HZ:
        fault = f"a sample rate of {sound.samplerate} Hz; expected {SLOWEST_HZ} to {FASTEST_HZ}"
    if fault:
        sound.close()
        raise AudioError(f"{name}: {fault}")
    return sound


def _decoder(source: Source) -> Sound:
    """Open a file with the decoder that fits it.

    Raises:
        AudioError: no decoder reads it.
    """
    if begins_mpeg(source):
        return MpegSound(source)
    wav = read_wav(source)
    if wav is not None and wav.holds_mpeg:
        return MpegSound(source, wav.data_begin, wav.data_end)
    head = source.read_at(0, 64)
    try:
        if head.startswith(b"OggS"):
            return OggSound(source)
        if wav is not None and wav.header is not None:
            mended = open_span(source, len(wav.header), source.size, wav.header)
            return _LibsndfileSound(mended, wav)
        sound = _LibsndfileSound(source.rewound(), wav)
    except (soundfile.LibsndfileError, TypeError) as error:
        if ffmpeg_reads(source):
            return FfmpegSound(source)
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        if head.startswith(b"version https://git-lfs"):
            reason = "a Git LFS pointer to one; fetch it with `git lfs pull`"
        elif head.startswith(b"/annex/objects/"):
            reason = "a git-annex pointer to one; fetch it with `git annex get`"
        others = "m4a, webm, wma, amr and others"
        extra = f", or {others}" if is_installed() else f'; {others} need `pip install "axlstm[av]"`'
        raise AudioError(
            f"not a sound file that can be read ({reason}); expected wav, flac, ogg, opus or mp3{extra}"
        ) from error
    if sound.format_info.startswith("MPEG"):  # behind other bytes
        sound.close()
        return MpegSound(source)
    return sound

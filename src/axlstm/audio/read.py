"""Read sound of any kind as 16 kHz mono float32."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.ffmpeg import FfmpegSound, ffmpeg_reads, is_installed
from axlstm.audio.mpeg import MpegSound, begins_mpeg
from axlstm.audio.ogg import OggSound
from axlstm.audio.resample import SAMPLE_RATE_HZ, check_rate, open_resampler
from axlstm.audio.riff import Wav, read_wav
from axlstm.audio.source import ForwardFile, Source, open_span
from axlstm.errors import AudioError

if TYPE_CHECKING:
    import torch

BLOCK_SECONDS = 30
_MOST_VALUES = 1 << 24  # of all channels in a block, whatever rate a header claims
_SLOWEST_HZ, _FASTEST_HZ = 1_000, 1_000_000  # of a header that is believed
_NOT_STATED = 2**63 - 1  # frames, in libsndfile's words for a FLAC file that was written to a pipe
_ARRAY_BLOCK = 1 << 20  # samples of an array that are resampled at a time
MOST_CHANNELS = 64  # in an array: what has more entries along an axis is taken for time

_FULL_SCALE = {"int16": (2.0**15, 0), "int32": (2.0**31, 0), "uint8": (2.0**7, 128)}

Audio: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | torch.Tensor"


def load_audio(source: Audio, sample_rate: int | None = None) -> NDArray[np.float32]:
    """Read a sound as 16 kHz mono float32 samples in [-1, 1] (beyond, if the source is): ``(n,)``.

    Channels are averaged, rates converted by soxr (HQ). Files are decoded and resampled block by block.

    Args:
        source: a path; the bytes of a sound file or a binary file object (wav, flac, ogg vorbis, ogg opus, mp3, ...;
            m4a, webm, wma, amr and others with the extra `av`); or samples as an array or tensor, ``(n,)``,
            ``(channels, n)`` or ``(n, channels)`` (the axis of at most 64 is the channels), floating or int16,
            int32 or uint8 PCM.
        sample_rate: of the samples in Hz: required for an array or tensor, and not allowed with a file.

    Raises:
        AudioError: a source that is no sound, is empty, cut short or damaged, or holds NaN or infinity.
        FileNotFoundError: a path without a file.
    """
    with _opened(source, sample_rate) as blocks:
        return _collect(blocks)


def stream_audio(source: Audio, sample_rate: int | None = None) -> Iterator[NDArray[np.float32]]:
    """Read a sound as `load_audio` does, in blocks of at most about 30 s, for sounds that do not fit in memory.

    Arguments and errors are those of `load_audio`. A fault of the content is raised when its block is reached.
    """
    with _opened(source, sample_rate) as blocks:
        yield from blocks


@contextmanager
def _opened(source: Audio, sample_rate: int | None) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Blocks of a source at 16 kHz."""
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        if sample_rate is not None:
            raise AudioError("sample_rate is for arrays; a sound file states its own: leave it out")
        with open_sound(source) as (file, name):
            yield _resampled(_whole(file, name), file.samplerate, name)
        return
    samples = _as_array(source)
    if sample_rate is None:
        raise AudioError("an array without its sample rate: pass sample_rate= in Hz")
    check_rate(sample_rate)
    mono = _mono(samples)
    pieces = (mono[start : start + _ARRAY_BLOCK] for start in range(0, mono.size, _ARRAY_BLOCK))
    yield _resampled(pieces, sample_rate, "the array")


def file_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a sound file: duration_s (see `count_frames`), sample_rate_hz, channels, format.

    Raises:
        AudioError, FileNotFoundError: as `load_audio`.
    """
    with open_sound(path) as (file, name):
        return {
            "duration_s": round(count_frames(file, name) / file.samplerate, 6),
            "sample_rate_hz": file.samplerate,
            "channels": file.channels,
            "format": f"{file.format_info}, {file.subtype_info}",
        }


def count_frames(file: Sound, name: str) -> int:
    """Count the frames of a sound, in its own rate. A file that does not state its length is decoded for it.

    Raises:
        AudioError: a file that has to be decoded, and is damaged.
    """
    return sum(map(len, mono_blocks(file, name))) if file.frames is None else file.frames


class Sound(Protocol):
    """A sound file that is open, whatever decodes it."""

    samplerate: int  # in Hz
    channels: int
    format_info: str
    subtype_info: str

    @property
    def frames(self) -> int | None:
        """The length; None if only decoding tells."""

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the next samples ``(n, C)``: at most ``frames``, and none at the end."""

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
        self._position = 0

    def read(self, frames: int) -> NDArray[np.float32]:
        try:
            block: NDArray[np.float32] = self._file.read(
                max(0, min(frames, self._most - self._position)), dtype="float32", always_2d=True
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
            frame -= len(self.read(min(frame, _MOST_VALUES // self.channels))) or frame

    def close(self) -> None:
        self._file.close()


class open_sound:
    """Open a sound file of a path, bytes or file object, and name it for messages.

    Raises:
        AudioError: a file that is no sound, or empty.
        FileNotFoundError: a path without a file.
    """

    def __init__(self, source: Any) -> None:
        self.stream: Any
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name, self.stream = "the bytes given", io.BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            self.name = str(path)
            if path.is_dir():
                raise AudioError(f"{path}: a folder, expected a sound file")
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such file")
            self.stream = path.open("rb")
        else:
            self.name, self.stream = str(getattr(source, "name", "the file object given")), source
        self.owned = isinstance(source, (str, os.PathLike))

    def __enter__(self) -> tuple[Sound, str]:
        try:
            self.sound = _open(self.stream, self.name)
        except BaseException:
            self._close_stream()
            raise
        return self.sound, self.name

    def __exit__(self, *_: object) -> None:
        self.sound.close()
        self._close_stream()

    def _close_stream(self) -> None:
        if self.owned:
            self.stream.close()


def _open(stream: Any, name: str) -> Sound:
    source = Source(stream, name)
    if source.size == 0:
        raise AudioError(f"{name}: an empty file")
    try:
        sound = _decoder(source)
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from error
    fault = ""
    if sound.frames == 0:
        fault = "holds no samples"
    elif not _SLOWEST_HZ <= sound.samplerate <= _FASTEST_HZ:
        fault = f"a sample rate of {sound.samplerate} Hz; expected {_SLOWEST_HZ} to {_FASTEST_HZ}"
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
        extra = "" if is_installed() else '; m4a, webm, wma, amr and others need `pip install "axlstm[av]"`'
        raise AudioError(
            f"not a sound file that can be read ({reason}); expected wav, flac, ogg, opus or mp3{extra}"
        ) from error
    if sound.format_info.startswith("MPEG"):  # behind other bytes
        sound.close()
        return MpegSound(source)
    return sound


def mono_blocks(file: Sound, name: str, first: int = 0, most: float = math.inf) -> Iterator[NDArray[np.float32]]:
    """Read the mean of the channels, ``(n,)`` a block, in the file's own rate.

    Args:
        first: frame to begin at.
        most: frames in all.

    Raises:
        AudioError: a sound that is damaged.
    """
    read = 0
    at_once = max(1, min(file.samplerate * BLOCK_SECONDS, _MOST_VALUES // file.channels))
    try:
        if first:
            file.seek(first)
        while read < most:
            block = file.read(int(min(at_once, most - read)))  # (n, C)
            if len(block) == 0:
                break
            read += len(block)
            yield _mean_channel(block)
    except (AudioError, soundfile.LibsndfileError) as error:
        raise AudioError(f"{name}: {error}") from error


def _whole(file: Sound, name: str) -> Iterator[NDArray[np.float32]]:
    """Read all of `mono_blocks`. Fewer frames than the header announces are an error."""
    read = 0
    for block in mono_blocks(file, name):
        read += len(block)
        yield block
    if file.frames is not None and read < file.frames:
        raise AudioError(
            f"{name}: cut short: holds {read / file.samplerate:.2f} s of the "
            f"{file.frames / file.samplerate:.2f} s its header announces"
        )


def _mean_channel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of channels: ``(n, C)`` to ``(n,)``. Added one by one: a fifth of the time of numpy's mean."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        mean += samples[:, channel]
    return mean / np.float32(samples.shape[1])


def _resampled(blocks: Iterator[NDArray[np.float32]], rate_hz: float, name: str) -> Iterator[NDArray[np.float32]]:
    """Resample blocks of mono samples to 16 kHz. NaN, infinity and a sound without samples are errors."""
    stream = None if rate_hz == SAMPLE_RATE_HZ else open_resampler(rate_hz, name)
    produced = 0
    pending = next(blocks, None)
    while pending is not None:
        block, pending = pending, next(blocks, None)
        check_finite(block, name)
        if stream is not None:
            block = stream.resample_chunk(block, last=pending is None)
        produced += len(block)
        yield block
    if produced == 0:
        raise AudioError(f"{name}: holds no samples")


def check_finite(block: NDArray[np.float32], name: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        AudioError: naming the first of them.
    """
    if not np.isfinite(block).all():
        bad = int(np.argmin(np.isfinite(block)))
        raise AudioError(f"{name}: holds {block[bad]} among its samples; expected finite numbers only")


def _collect(blocks: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join blocks in an array that grows in place: memory follows the samples, not the header."""
    out = np.empty(0, dtype=np.float32)
    for block in blocks:
        filled = out.size
        out.resize(filled + len(block), refcheck=False)
        out[filled:] = block
    return out


def mono_block(samples: Any) -> NDArray[np.float32]:
    """A piece of sound in memory, ``(n,)`` or ``(n, channels)`` with any n, as mono float32 ``(n,)``.

    Raises:
        AudioError: another shape or type, or NaN or infinity.
    """
    block = _as_array(samples)
    if block.ndim not in (1, 2) or (block.ndim == 2 and not 1 <= block.shape[1] <= MOST_CHANNELS):
        raise AudioError(f"a block of shape {block.shape}: expected (samples,) or (samples, channels)")
    floats = _as_floats(block)
    mono = floats if floats.ndim == 1 else floats.mean(axis=1, dtype=np.float32)
    check_finite(mono, "the block")
    return np.ascontiguousarray(mono)


def _as_array(source: Any) -> NDArray[Any]:
    if hasattr(source, "detach"):
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()
    if not isinstance(source, np.ndarray):
        raise AudioError(f"{type(source).__name__}: expected a path, bytes, a file object, a NumPy array or a tensor")
    return source


def _mono(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of any shape and type that stand for sound, as ``(n,)`` float32."""
    shape = samples.shape
    if samples.size == 0:
        raise AudioError(f"an array of shape {shape}: holds no samples")
    if samples.ndim not in (1, 2):
        raise AudioError(f"an array of shape {shape}: expected (samples,), (channels, samples) or (samples, channels)")
    axis = None
    if samples.ndim == 2:
        few = [size <= MOST_CHANNELS for size in shape]
        if few[0] == few[1]:
            raise AudioError(f"an array of shape {shape}: cannot tell channels (at most {MOST_CHANNELS}) from samples")
        axis = 0 if few[0] else 1
    floats = _as_floats(samples)
    if axis is not None:
        floats = floats.mean(axis=axis, dtype=np.float32)
    return np.ascontiguousarray(floats)


def _as_floats(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of any type that stands for sound as float32, PCM scaled to [-1, 1]."""
    if samples.dtype.name in _FULL_SCALE:
        scale, zero = _FULL_SCALE[samples.dtype.name]
        return ((samples.astype(np.float64) - zero) / scale).astype(np.float32)
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32, copy=False)
    raise AudioError(f"samples of type {samples.dtype}: expected floats in [-1, 1], or int16, int32 or uint8 PCM")

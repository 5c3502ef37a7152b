"""Sound of any kind in, 16 kHz mono float32 out."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.resample import SAMPLE_RATE_HZ, check_rate, open_resampler
from axlstm.errors import AudioError

if TYPE_CHECKING:
    import torch

BLOCK_SECONDS = 30
_MOST_VALUES = 1 << 24  # of all channels in a block, whatever rate a header claims
_NOT_STATED = 2**63 - 1  # frames, in libsndfile's words for a FLAC file that was written to a pipe
_ARRAY_BLOCK = 1 << 20  # samples of an array that are resampled at a time
MOST_CHANNELS = 64  # in an array: what has more entries along an axis is taken for time

_FULL_SCALE = {"int16": (2.0**15, 0), "int32": (2.0**31, 0), "uint8": (2.0**7, 128)}

Audio: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | torch.Tensor"


def load_audio(source: Audio, sample_rate: int | None = None) -> NDArray[np.float32]:
    """Read a sound as 16 kHz mono float32 samples in [-1, 1] (beyond, if the source is): ``(n,)``.

    Channels are averaged, rates converted by soxr (HQ). Files are decoded and resampled block by block.

    Args:
        source: a path; the bytes of a sound file or a binary file object (wav, flac, ogg vorbis, ogg opus,
            mp3, ...); or samples as an array or tensor, ``(n,)``, ``(channels, n)`` or ``(n, channels)``
            (the axis of at most 64 is the channels), floating or int16, int32 or uint8 PCM.
        sample_rate: of the samples in Hz: required for an array or tensor, and not allowed with a file.

    Raises:
        AudioError: anything that is not a sound, is empty, cut short, or holds NaN or infinity.
        FileNotFoundError: a path without a file.
    """
    with _opened(source, sample_rate) as blocks:
        return _collect(blocks)


def stream_audio(source: Audio, sample_rate: int | None = None) -> Iterator[NDArray[np.float32]]:
    """What `load_audio` gives, in blocks of at most about 30 s, for sounds that do not fit in memory.

    Arguments and errors as `load_audio`; what is wrong with the content shows when its block is reached.
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
    """What a sound file's header says: duration_s (see `count_frames`), sample_rate_hz, channels, format.

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


def count_frames(file: soundfile.SoundFile, name: str) -> int:
    """How long a sound is, in its own rate: what its header says, or, where that does not say, what it decodes to.

    Raises:
        AudioError: a header that does not say, and a sound that is damaged.
    """
    return sum(map(len, mono_blocks(file, name))) if file.frames == _NOT_STATED else int(file.frames)


class _ForwardFile(soundfile.SoundFile):
    """A sound file that is not sought in after each read: that fails at an end that no header foretold."""

    def seekable(self) -> bool:
        return False


class open_sound:
    """A sound file of a path, bytes or file object, with a name for messages; errors made readable.

    Raises:
        AudioError: what is not a sound, or empty.
        FileNotFoundError: a path without a file.
    """

    def __init__(self, source: Any) -> None:
        self.stream: Any
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name, self.stream = "the bytes given", io.BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            path = Path(source)
            self.name, self.stream = str(path), None
            if path.is_dir():
                raise AudioError(f"{path}: a folder, expected a sound file")
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such file")
            if path.stat().st_size == 0:
                raise AudioError(f"{path}: an empty file")
            self.stream = path.open("rb")
        else:
            self.name, self.stream = str(getattr(source, "name", "the file object given")), source
        self.owned = isinstance(source, (str, os.PathLike))

    def __enter__(self) -> tuple[soundfile.SoundFile, str]:
        try:
            self.file = _ForwardFile(self.stream)
        except (soundfile.LibsndfileError, TypeError) as error:
            self._close_stream()
            reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
            raise AudioError(
                f"{self.name}: not a sound file that can be read ({reason}); expected wav, flac, ogg, opus or mp3"
            ) from error
        if self.file.frames == 0:
            self.__exit__()
            raise AudioError(f"{self.name}: holds no samples")
        return self.file, self.name

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._close_stream()

    def _close_stream(self) -> None:
        if self.owned and self.stream is not None:
            self.stream.close()


def mono_blocks(
    file: soundfile.SoundFile, name: str, first: int = 0, most: float = math.inf
) -> Iterator[NDArray[np.float32]]:
    """The channels averaged, ``(n,)`` in the file's own rate, a block of time after another, to the end of the sound.

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
            block = file.read(int(min(at_once, most - read)), dtype="float32", always_2d=True)  # (n, C)
            if len(block) == 0:
                break
            read += len(block)
            yield _mean_channel(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: damaged after {(first + read) / file.samplerate:.2f} s ({error})") from error


def _whole(file: soundfile.SoundFile, name: str) -> Iterator[NDArray[np.float32]]:
    """All of `mono_blocks`; fewer frames than the header announces, if it does, are an error."""
    read = 0
    for block in mono_blocks(file, name):
        read += len(block)
        yield block
    if file.frames != _NOT_STATED and read < file.frames:
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
    """Blocks of mono samples as blocks at 16 kHz; NaN or infinity, or no samples at all, is an error."""
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
    """Blocks in one array that grows in place: no header's claim is believed, and nothing held twice."""
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

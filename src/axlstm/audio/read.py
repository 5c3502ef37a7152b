"""Read sound of any kind as 16 kHz mono float32."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.arrays import as_array, check_values, mean_channel, to_mono
from axlstm.audio.open import MOST_VALUES, Sound, open_sound
from axlstm.audio.resample import SAMPLE_RATE_HZ, check_rate, open_resampler
from axlstm.errors import AudioError

if TYPE_CHECKING:
    import torch

BLOCK_SECONDS = 30
_ARRAY_BLOCK = 1 << 20  # samples of an array that are resampled at a time

Audio: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any] | torch.Tensor"


def load_audio(source: Audio, sample_rate: int | None = None, to_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.float32]:
    """Read a sound as 16 kHz mono float32 samples in [-1, 1] (beyond, if the source is): ``(n,)``.

    Channels are averaged, rates converted by soxr (HQ). Files are decoded and resampled block by block.

    Args:
        source: a path; the bytes of a sound file or a binary file object (wav, flac, ogg vorbis, ogg opus, mp3, ...;
            m4a, webm, wma, amr and others with the extra `av`), of a pipe too; or samples as an array or tensor,
            floating or int16, int32 or uint8 PCM: ``(n,)``, ``(channels, n)`` or ``(n, channels)``. The axis of at
            most 8 is assumed to be the channels, never a batch; if both or neither are, the array is refused.
        sample_rate: 1,000 to 1,000,000 Hz: required for an array or tensor, and not allowed with a file.
        to_hz: rate of the samples, for other models than ours.

    Raises:
        AudioError: a source that is no sound, is empty, cut short or damaged, or holds NaN or values beyond 2^31.
        FileNotFoundError: a path without a file.
    """
    with _opened(source, sample_rate, to_hz) as blocks:
        return _collect(blocks)


def stream_audio(
    source: Audio, sample_rate: int | None = None, to_hz: int = SAMPLE_RATE_HZ
) -> Iterator[NDArray[np.float32]]:
    """Read a sound as `load_audio` does, in blocks of at most about 30 s, for sounds that do not fit in memory.

    Arguments and errors are those of `load_audio`. A fault of the content is raised when its block is reached.
    """
    with _opened(source, sample_rate, to_hz) as blocks:
        yield from blocks


@contextmanager
def _opened(source: Audio, sample_rate: int | None, to_hz: int) -> Iterator[Iterator[NDArray[np.float32]]]:
    """Open a source and yield its blocks at ``to_hz``."""
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        if sample_rate is not None:
            raise AudioError("sample_rate is for arrays; a sound file states its own: leave it out")
        with open_sound(source) as (file, name):
            yield _resampled(_whole(file, name), file.samplerate, name, to_hz)
        return
    samples = as_array(source)
    if sample_rate is None:
        raise AudioError("an array without its sample rate: pass sample_rate= in Hz")
    check_rate(sample_rate)
    mono = to_mono(samples, sample_rate)
    pieces = (mono[start : start + _ARRAY_BLOCK] for start in range(0, mono.size, _ARRAY_BLOCK))
    yield _resampled(pieces, sample_rate, "the array", to_hz)


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
    return sum(map(len, _blocks(file, name, 0, math.inf))) if file.frames is None else file.frames


def mono_blocks(file: Sound, name: str, first: int = 0, most: float = math.inf) -> Iterator[NDArray[np.float32]]:
    """Read the mean of the channels, ``(n,)`` a block, in the file's own rate.

    Args:
        first: frame to begin at.
        most: frames in all.

    Raises:
        AudioError: a sound that is damaged, or values that `axlstm.audio.arrays.check_values` refuses.
    """
    for block in _blocks(file, name, first, most):
        check_values(block, name, file.samplerate, first)
        first += len(block)
        yield mean_channel(block)


def _blocks(file: Sound, name: str, first: int, most: float) -> Iterator[NDArray[np.floating]]:
    """Read blocks ``(n, C)`` as `mono_blocks` does."""
    read = 0
    at_once = max(1, min(file.samplerate * BLOCK_SECONDS, MOST_VALUES // file.channels))
    try:
        if first:
            file.seek(first)
        while read < most:
            block = file.read(int(min(at_once, most - read)))  # (n, C)
            if len(block) == 0:
                break
            read += len(block)
            yield block
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


def _resampled(
    blocks: Iterator[NDArray[np.float32]], rate_hz: float, name: str, to_hz: int
) -> Iterator[NDArray[np.float32]]:
    """Resample blocks of mono samples. A sound without samples is an error."""
    stream = None if rate_hz == to_hz else open_resampler(rate_hz, name, to_hz)
    produced = 0
    pending = next(blocks, None)
    while pending is not None:
        block, pending = pending, next(blocks, None)
        block = block if stream is None else stream.resample_chunk(block, last=pending is None)
        produced += len(block)
        yield block
    if produced == 0:
        raise AudioError(f"{name}: holds no samples")


def _collect(blocks: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join blocks in an array that grows in place: memory follows the samples, not the header."""
    out = np.empty(0, dtype=np.float32)
    for block in blocks:
        filled = out.size
        out.resize(filled + len(block), refcheck=False)
        out[filled:] = block
    return out

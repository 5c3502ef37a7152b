"""Encode and decode one record of a shard: its members' names, and their bytes as arrays and back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from tokenize import TokenError
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.errors import DataError
from axlstm.options import Content

LOGMEL_SUFFIX = ".data.pyd"  # the published name; the bytes are those of a .npy file
AUDIO_SUFFIX = ".flac"
FACTS_SUFFIX = ".json"
DATA_SUFFIX: dict[Content, str] = {"logmel": LOGMEL_SUFFIX, "audio": AUDIO_SUFFIX}
_MOST_HEADER_BYTES = 10_000


def encode_logmel(logmel: NDArray[np.floating[Any]], dtype: str) -> bytes:
    """Return log-mel ``(frames, bands)`` as the bytes of a .npy file of ``dtype``."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(logmel, dtype=dtype), allow_pickle=False)
    return stream.getvalue()


def decode_logmel(content: bytes, bands: int) -> NDArray[np.floating[Any]]:
    """Return the log-mel ``(frames, bands)`` that `encode_logmel` wrote, in the stored precision. Never unpickles.

    Raises:
        DataError: not a .npy file, pickled objects, another shape or type, or fewer values than announced.
    """
    if content[:6] != b"\x93NUMPY":
        raise DataError("not the bytes of a .npy file")
    wide = content[6] > 1
    begin = 12 if wide else 10
    length = int.from_bytes(content[8:begin], "little")
    if length > _MOST_HEADER_BYTES or begin + length > len(content):
        raise DataError("a .npy file with a damaged header")
    shape, fortran, dtype = _npy_header(content[: begin + length])
    if dtype.hasobject:
        raise DataError("a .npy file of pickled objects, which are not read: pickles can run code")
    if dtype.kind != "f" or len(shape) != 2 or shape[1] != bands or shape[0] < 1:
        raise DataError(f"an array {shape} of {dtype}: expected floats of shape (frames, {bands})")
    if len(content) - begin - length < shape[0] * shape[1] * dtype.itemsize:
        raise DataError("a .npy file with fewer values than its header announces")
    flat = np.frombuffer(content, dtype, count=shape[0] * shape[1], offset=begin + length)
    return flat.reshape(shape, order="F" if fortran else "C")


@lru_cache(maxsize=1024)
def _npy_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    stream = io.BytesIO(header)
    try:
        major, _ = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        return read(stream)
    except (ValueError, SyntaxError, TypeError, TokenError) as error:
        raise DataError(f"a .npy file with a damaged header ({error})") from error


def encode_audio(samples: NDArray[np.int16]) -> bytes:
    """Return 16 kHz samples ``(n,)`` as the bytes of a 16-bit FLAC file."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


@contextmanager
def open_audio(content: bytes) -> Iterator[soundfile.SoundFile]:
    """Open a 16 kHz mono FLAC record, to be read in part within the block.

    Raises:
        DataError: the bytes are no FLAC file, the rate or the number of channels is another, or the block meets damage.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.samplerate != SAMPLE_RATE_HZ or file.channels != 1:
                raise DataError(
                    f"{file.channels} channels at {file.samplerate} Hz: expected mono at {SAMPLE_RATE_HZ} Hz, "
                    "as axlstm prepare writes it"
                )
            yield file
    except soundfile.LibsndfileError as error:
        raise DataError(f"not a FLAC file that can be read ({error.error_string.strip()})") from error


def decode_facts(content: bytes) -> dict[str, Any]:
    """Return the JSON member of a record: source, start_s, seconds, group, label, logmel_mean, logmel_deviation.

    Raises:
        DataError: not a JSON object.
    """
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"facts that are not JSON ({error})") from error
    if not isinstance(facts, dict):
        raise DataError("facts that are not a JSON object")
    return facts

"""Turn a sound file into encoded records: decode a stretch, resample, cut, judge, encode."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from axlstm.audio.open import open_sound
from axlstm.audio.read import count_frames, mono_blocks
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.data.config import STRETCH_SECONDS, PrepareConfig
from axlstm.data.manifest import Item
from axlstm.data.records import encode_audio, encode_logmel
from axlstm.errors import AudioError
from axlstm.files import is_pipe

_MOST_DBFS = 30.0  # of floats that are stored as PCM: beyond it nearly every sample would be clipped
_MARGIN_SECONDS = 1  # decoded on either side of a stretch, so that the resampler sees past its edges


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some neighbouring records of one item: frames ``begin`` to ``end`` of the file, in its own rate."""

    position: int  # of the item in the order of preparation
    item: Item
    first_record: int
    records: int
    rate_hz: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record that is worth keeping, encoded, with the digest that duplicates are known by."""

    position: int
    number: int  # within its item
    key: str
    data: bytes
    facts: bytes
    seconds: float
    digest: int


@dataclass(frozen=True, slots=True)
class Skip:
    """A record, or the rest of an item, that is dropped."""

    position: int
    number: int
    path: str
    start_s: float
    seconds: float
    reason: str  # one of a few words, to be counted
    detail: str


def plan_item(position: int, item: Item, config: PrepareConfig, first_record: int = 0) -> Iterator[Stretch | Skip]:
    """Yield the stretches that hold an item's records from ``first_record`` on; only its length is read.

    Stretches begin at the same records whatever ``first_record`` is: the first may hold earlier records too.
    """

    def skip(reason: str, detail: str) -> Skip:
        return Skip(position, first_record, item.path, item.start_s or 0.0, 0.0, reason, detail)

    if item.fault:
        yield skip("unreadable", item.fault)
        return
    if is_pipe(Path(item.place)):
        yield skip("unreadable", "a pipe, which can be read only once: save it first")
        return
    if not Path(item.place).is_file():
        yield skip("missing", "no such file")
        return
    try:
        with open_sound(item.place) as (file, name):
            rate, frames = file.samplerate, count_frames(file, name)
    except (AudioError, OSError) as error:
        yield skip("unreadable", _told(error, item))
        return
    begin = round((item.start_s or 0.0) * rate)
    end = frames if item.end_s is None else min(frames, round(item.end_s * rate))
    if begin >= frames:
        yield skip("beyond the end", f"starts at {begin / rate:.3f} s, but the file ends at {frames / rate:.3f} s")
        return
    if end - begin < config.min_seconds * rate:
        yield skip("short", f"{max(0, end - begin) / rate:.3f} s, below {config.min_seconds:g} s")
        return
    length = config.record_seconds * rate  # not always a whole number: what is left of a frame is no record
    records = max(1, math.ceil((end - begin - 0.5) / length))
    at_once = max(1, int(STRETCH_SECONDS / config.record_seconds))
    for first in range(first_record // at_once * at_once, records, at_once):
        last = min(records, first + at_once)
        start, stop = begin + round(first * length), min(end, begin + round(last * length))
        yield Stretch(position, item, first, last - first, rate, start, stop)


def process_stretch(stretch: Stretch, config: PrepareConfig) -> list[Record | Skip]:
    """Decode and encode a stretch; a failure drops the records of this stretch only."""
    try:
        samples = decode(stretch.item.place, stretch.begin, stretch.end)
    except (AudioError, OSError) as error:
        start_s, end_s = stretch.begin / stretch.rate_hz, stretch.end / stretch.rate_hz
        place = (stretch.position, stretch.first_record, stretch.item.path, start_s, end_s - start_s)
        return [Skip(*place, "unreadable", _told(error, stretch.item))]
    inner = [round(record * config.record_seconds * SAMPLE_RATE_HZ) for record in range(1, stretch.records)]
    numbered = enumerate(np.split(samples, inner), start=stretch.first_record)
    return [_judge(record, stretch, number, config) for number, record in numbered]


def _told(error: Exception, item: Item) -> str:
    return str(error).replace(item.place, item.path)


def decode(path: str, begin: int, end: int) -> NDArray[np.float32]:
    """Decode frames ``begin`` to ``end`` of a file, in its own rate, to 16 kHz mono: ``(n,)``.

    What lies around the stretch is decoded too where there is any, so that a file cut into stretches
    sounds as it does in one piece.

    Raises:
        AudioError: the file cannot be decoded, is cut short, or holds values that are no sound.
    """
    with open_sound(path) as (file, name):
        rate = file.samplerate
        margin = 0 if rate == SAMPLE_RATE_HZ else rate * _MARGIN_SECONDS
        first = max(0, begin - margin)
        blocks = list(mono_blocks(file, name, first, end + margin - first))
    samples = np.concatenate(blocks) if blocks else np.empty(0, np.float32)  # (n,) at rate
    if len(samples) < end - first:
        lost_s = (end - first - len(samples)) / rate
        raise AudioError(f"{name}: cut short {lost_s:.2f} s before the end that its header announces")
    if rate == SAMPLE_RATE_HZ:
        return samples
    resampled = soxr.resample(samples, rate, SAMPLE_RATE_HZ, quality="HQ")
    before = round((begin - first) * SAMPLE_RATE_HZ / rate)
    wanted = round((end - begin) * SAMPLE_RATE_HZ / rate)
    return resampled[before : before + wanted]


def _judge(samples: NDArray[np.float32], stretch: Stretch, number: int, config: PrepareConfig) -> Record | Skip:
    item = stretch.item
    seconds = len(samples) / SAMPLE_RATE_HZ
    start_s = stretch.begin / stretch.rate_hz + (number - stretch.first_record) * config.record_seconds
    place = (stretch.position, number, item.path, start_s, seconds)
    if seconds < config.min_seconds:
        return Skip(*place, "short", f"{seconds:.3f} s, below {config.min_seconds:g} s")
    peak_dbfs = _dbfs(float(np.abs(samples).max()))
    if peak_dbfs < config.silence_dbfs:
        return Skip(*place, "silent", f"peak {peak_dbfs:.1f} dBFS, below {config.silence_dbfs:g}")
    if config.content == "audio" and peak_dbfs > _MOST_DBFS:
        return Skip(*place, "beyond full scale", f"peak {peak_dbfs:.1f} dBFS, not samples in [-1, 1]: scale the file")
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)  # (n,)
    logmel = _logmel(samples if config.content == "logmel" else pcm.astype(np.float32) / 32768.0)  # (frames, bands)
    facts = {
        "source": item.path,
        "start_s": round(start_s, 3),
        "seconds": round(seconds, 3),
        "group": item.group,
        "label": item.label,
        "peak_dbfs": round(peak_dbfs, 2),
        "rms_dbfs": round(_dbfs(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))), 2),
        "logmel_mean": float(logmel.mean(dtype=np.float64)),
        "logmel_deviation": float(logmel.std(dtype=np.float64)),
    }
    return Record(
        position=stretch.position,
        number=number,
        key=f"{stretch.position:09d}_{number:06d}",
        data=encode_logmel(logmel, config.dtype) if config.content == "logmel" else encode_audio(pcm),
        facts=json.dumps(facts).encode(),
        seconds=seconds,
        digest=int.from_bytes(hashlib.blake2b(pcm.tobytes(), digest_size=8).digest(), "little"),
    )


def _dbfs(level: float) -> float:
    return 20.0 * math.log10(max(level, 1e-10))


def _logmel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        out: NDArray[np.float32] = _front_end()(torch.from_numpy(samples)).numpy()
    return out


@lru_cache(maxsize=1)
def _front_end() -> Any:
    from axlstm.audio.logmel import LogMel

    return LogMel()

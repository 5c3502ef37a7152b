"""Measure how well fingerprints find re-encodings: copy random recordings in four ways, look them up among all."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.errors import AudioError
from recipes.open_audio.fetch import Work
from recipes.open_audio.fingerprint import RATE_HZ, fingerprint
from recipes.open_audio.leaks import measured_fingerprints
from recipes.open_audio.manifest import Row, read_manifest
from recipes.open_audio.matching import LEAST_WORDS, Index
from recipes.open_audio.probe import PROBED_SECONDS

_LOADED_HZ = 16_000
_COPIED_HZ = 22_050
_TRIM_S = 0.023
_BLOCK = 65_536  # frames written at a time: libsndfile's Vorbis encoder cannot take a long sound at once

Samples = NDArray[np.float32]


@dataclass
class Tally:
    """The counts of one way of copying: copies looked up, found, and too short for a fingerprint."""

    looked_up: int = 0
    found: int = 0
    too_short: int = 0
    strangers: list[tuple[str, str, float]] = field(default_factory=list)  # a recording, another cluster's, the errors


def validate(work: Work, count: int, seed: int) -> dict[str, Tally]:
    """Copy ``count`` random recordings in every way and look the copies up among all recordings of the manifest.

    Raises:
        DataError: no manifest, or a package that is gone.
    """
    rows = {row.path: row for row in read_manifest(work.manifest)}
    library = measured_fingerprints(work, set(rows))
    index = Index([one for _, one in library])
    names = [name for name, _ in library]
    tallies = {way: Tally() for way in COPIES}
    for row in random.Random(seed).sample(sorted(rows.values(), key=lambda row: row.path), min(count, len(rows))):
        try:
            samples = load_audio(work.folder / row.path)[: PROBED_SECONDS * _LOADED_HZ]
        except (AudioError, FileNotFoundError):
            continue
        for way, copy in COPIES.items():
            _look_up(copy(samples), row, rows, names, index, tallies[way])
    return tallies


def _look_up(copy: Samples, row: Row, rows: dict[str, Row], names: Sequence[str], index: Index, tally: Tally) -> None:
    """Look up a copy ``(n,)`` at 8 kHz of a recording."""
    query = fingerprint(copy)
    if query.active.sum() < LEAST_WORDS:
        tally.too_short += 1
        return
    tally.looked_up += 1
    found = {names[number]: errors for number, errors, _ in index.search(query)}
    tally.found += row.path in found
    tally.strangers += [(row.path, name, errors) for name, errors in found.items() if rows[name].cluster != row.cluster]


def _encoded(samples: Samples, container: str, codec: str, level: float) -> Samples:
    """Send samples at 16 kHz through a codec, and decode them to 8 kHz."""
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", _LOADED_HZ, 1, codec, format=container, compression_level=level) as file:
        for at in range(0, len(samples), _BLOCK):
            file.write(samples[at : at + _BLOCK])
    stream.seek(0)
    decoded, rate = soundfile.read(stream, dtype="float32")
    return _at_rate(decoded, rate, RATE_HZ)


def _at_rate(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    out: Samples = soxr.resample(samples, from_hz, to_hz, quality="LQ")
    return out


COPIES: dict[str, Callable[[Samples], Samples]] = {
    "Ogg Vorbis, lowest quality": lambda samples: _encoded(samples, "OGG", "VORBIS", 1.0),
    "MP3, lowest quality": lambda samples: _encoded(samples, "MP3", "MPEG_LAYER_III", 0.99),
    "22.05 kHz": lambda samples: _at_rate(_at_rate(samples, _LOADED_HZ, _COPIED_HZ), _COPIED_HZ, RATE_HZ),
    "trimmed by 23 ms, at half the level, Ogg": lambda samples: _encoded(
        samples[round(_TRIM_S * _LOADED_HZ) :] * np.float32(0.5), "OGG", "VORBIS", 0.8
    ),
}
"""Ways of copying samples ``(n,)`` at 16 kHz, each giving the copy at 8 kHz."""

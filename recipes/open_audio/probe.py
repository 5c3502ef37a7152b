"""Measure every recording of a package: each is decoded once, and the results are kept in one file a package."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.errors import AxlstmError
from axlstm.files import write_atomically
from recipes.open_audio import fingerprint as words
from recipes.open_audio.fingerprint import Fingerprint, fingerprint
from recipes.open_audio.unpack import SOUND

VERSION = 1
PROBED_SECONDS = 60
"""Of long recordings, how much is decoded: all that tasks test on are shorter, and copies of tracks begin alike."""

_BLOCK_SECONDS = 30


@dataclass(frozen=True)
class Probe:
    """The measurements of a recording; if there is an error, there is nothing else."""

    path: str  # below the package's folder
    duration_s: float = 0.0
    sample_rate_hz: int = 0
    digest: str = ""  # of length, rate and the first minute's samples: equal for copies, whatever their container
    error: str = ""


@dataclass(frozen=True)
class Probes:
    """A package's recordings, in the order of their paths, and their fingerprints."""

    version: str
    recordings: list[Probe]
    fingerprints: list[Fingerprint]


def probe_package(folder: Path, package_version: str, cache: Path) -> Probes:
    """Measure all recordings below ``folder``, or read the measurements of an earlier call for the same version."""
    known = _read(cache, package_version)
    if known is not None:
        return known
    recordings, fingerprints = [], []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUND and path.is_file()):
        name = path.relative_to(folder).as_posix()
        try:
            recording, its_fingerprint = probe_file(path, name)
        except (soundfile.LibsndfileError, AxlstmError, OSError, ValueError) as error:
            recording, its_fingerprint = Probe(name, error=_reason(error)), fingerprint(_NOTHING)
        recordings.append(recording)
        fingerprints.append(its_fingerprint)
    probes = Probes(package_version, recordings, fingerprints)
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(cache, _encode(probes))
    return probes


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without its path."""
    return str(getattr(error, "error_string", error)).strip() or type(error).__name__


_NOTHING = np.zeros(0, dtype=np.float32)


def probe_file(path: Path, name: str) -> tuple[Probe, Fingerprint]:
    """Decode one recording and measure it.

    Raises:
        LibsndfileError, ValueError: it cannot be decoded, or holds no samples.
    """
    low: list[NDArray[np.float32]] = []
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        resampler = None if rate == words.RATE_HZ else soxr.ResampleStream(rate, words.RATE_HZ, 1, quality="LQ")
        frames = file.frames
        digest = hashlib.sha256(f"{rate} {frames}".encode())
        for block in _mono_blocks(file):
            digest.update(np.rint(np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
            low.append(block if resampler is None else resampler.resample_chunk(block))
        if not low:
            raise ValueError("holds no samples")
        if resampler is not None:
            low.append(resampler.resample_chunk(_NOTHING, last=True))
    probe = Probe(name, round(frames / rate, 4), rate, digest.hexdigest()[:32])
    return probe, fingerprint(np.concatenate(low))


def fingerprint_file(path: Path) -> Fingerprint:
    """Compute the fingerprint of a file; raises as `probe_file` does."""
    return probe_file(path, path.name)[1]


def _mono_blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    for _ in range(PROBED_SECONDS // _BLOCK_SECONDS):
        block = file.read(file.samplerate * _BLOCK_SECONDS, dtype="float32", always_2d=True)  # (n, C)
        if len(block) == 0:
            return
        mono = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0].copy()
        if not np.isfinite(mono).all():
            raise ValueError("holds NaN or infinity")
        yield mono


def _encode(probes: Probes) -> bytes:
    stream = io.BytesIO()
    facts = {"format": VERSION, "version": probes.version, "recordings": [asdict(probe) for probe in probes.recordings]}
    np.savez(
        stream,
        facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
        lengths=np.array([len(one.words) for one in probes.fingerprints], dtype=np.int64),
        words=_joined([one.words for one in probes.fingerprints], np.uint32),
        strong=_joined([one.strong for one in probes.fingerprints], np.uint32),
        weak=_joined([one.weak.reshape(-1) for one in probes.fingerprints], np.uint8),
        active=_joined([one.active for one in probes.fingerprints], np.bool_),
    )
    return stream.getvalue()


def _joined(arrays: list[Any], dtype: type) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=dtype)


def _read(cache: Path, package_version: str) -> Probes | None:
    """Read a cache; None if it is missing, damaged or of another version."""
    try:
        with cache.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            if facts["format"] != VERSION or facts["version"] != package_version:
                return None
            ends = np.cumsum(stored["lengths"])
            all_words, strong, active = stored["words"], stored["strong"], stored["active"]
            weak = stored["weak"].reshape(-1, words.WEAK_BITS)
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    parts = [slice(int(end - length), int(end)) for end, length in zip(ends, np.diff(ends, prepend=0), strict=True)]
    return Probes(
        package_version,
        [Probe(**entry) for entry in facts["recordings"]],
        [Fingerprint(all_words[part], strong[part], weak[part], active[part]) for part in parts],
    )

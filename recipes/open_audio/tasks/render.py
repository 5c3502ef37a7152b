"""Render planned clips: cut, join, level and mix recordings; play notes by a SoundFont."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.errors import ConfigError
from recipes.open_audio.tasks.plan import Clip, Note, Source, Track

VERSION = 1
"""Of this way to render: part of what says that a task is up to date."""

Samples = NDArray[np.float32]

_SYNTH_RATE_HZ = 44_100
_FADE = SAMPLE_RATE_HZ // 100
_FRAME = SAMPLE_RATE_HZ // 100
_ACTIVE_DB = -40.0  # frames of 10 ms that are not this far under the loudest are where a recording sounds
_PEAK = 0.95
_KEPT = 200  # decoded recordings


class Renderer:
    """Renders clips from the recordings below a folder, and keeps the latest recordings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: OrderedDict[str, Samples] = OrderedDict()
        self._synths: dict[str, Any] = {}

    def clip(self, clip: Clip, duration_s: float) -> Samples:
        """Render a clip ``(n,)`` at 16 kHz; a mixture that is louder than full scale is made quieter."""
        out = np.zeros(round(duration_s * SAMPLE_RATE_HZ), dtype=np.float32)
        for track in clip.tracks:
            at = round(track.at_s * SAMPLE_RATE_HZ)
            room = len(out) - at
            if track.length_s is not None:
                room = min(room, round(track.length_s * SAMPLE_RATE_HZ))
            samples = self._track(track, room)
            out[at : at + len(samples)] += samples
        if clip.noise_db is not None:
            draw = np.random.default_rng(zlib.crc32(clip.name.encode()))
            out += draw.normal(0.0, 10 ** (clip.noise_db / 20), len(out)).astype(np.float32)
        peak = float(np.abs(out).max(initial=0.0))
        return out if peak <= 1.0 else (out * np.float32(_PEAK / peak)).astype(np.float32)

    def sounding(self, path: str) -> tuple[float, float]:
        """Find when a recording starts and stops to sound, in seconds; both are 0 if it is silent."""
        active = np.flatnonzero(_active(self._load(path)))
        if not len(active):
            return 0.0, 0.0
        return float(active[0] * _FRAME / SAMPLE_RATE_HZ), float((active[-1] + 1) * _FRAME / SAMPLE_RATE_HZ)

    def _track(self, track: Track, room: int) -> Samples:
        parts: list[Samples] = []
        length = 0
        while length < room:
            for source in track.sources:
                parts.append(self._source(source))
                length += len(parts[-1])
                if length >= room:
                    break
            if not track.loops or length == 0:
                break
        samples = np.concatenate(parts)
        if len(samples) > room:
            samples = samples[:room].copy()
            fade = min(_FADE, room)
            samples[room - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
        return samples if track.level_db is None else _at_level(samples, track.level_db)

    def _source(self, source: Source) -> Samples:
        if isinstance(source, Note):
            return self._note(source)
        samples = self._load(source.path)
        end = None if source.end_s is None else round(source.end_s * SAMPLE_RATE_HZ)
        return samples[round(source.start_s * SAMPLE_RATE_HZ) : end]

    def _load(self, path: str) -> Samples:
        """Read the samples that fetch measured; an MP3 may announce a little more."""
        if path not in self._kept:
            samples, rate_hz = soundfile.read(self.folder / path, dtype="float32", always_2d=True)  # (n, C)
            self._kept[path] = load_audio(samples, rate_hz)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(path)
        return self._kept[path]

    def _note(self, note: Note) -> Samples:
        synth, number = self._synth(note.path)
        synth.sounds_off()
        synth.program_select(0, number, 0, note.program)
        synth.noteon(0, note.key, note.velocity)
        held = _generate(synth, note.held_s)
        synth.noteoff(0, note.key)
        samples = np.concatenate([held, _generate(synth, 0.5)])
        resampled: Samples = soxr.resample(samples, _SYNTH_RATE_HZ, SAMPLE_RATE_HZ, quality="HQ")
        return resampled

    def _synth(self, path: str) -> tuple[Any, int]:
        """Return the player of a SoundFont, and the number that it gave to the SoundFont."""
        if path not in self._synths:
            try:
                import tinysoundfont
            except ImportError as error:
                raise ConfigError(
                    f"{path}: needs a SoundFont player: pip install --no-deps tinysoundfont (its dependency "
                    "plays on loudspeakers and is not needed)"
                ) from error
            synth = tinysoundfont.Synth(gain=-6.0, samplerate=_SYNTH_RATE_HZ)
            self._synths[path] = synth, synth.sfload(str(self.folder / path))
        found: tuple[Any, int] = self._synths[path]
        return found


def _generate(synth: Any, seconds: float) -> Samples:
    stereo = np.frombuffer(bytes(synth.generate(round(seconds * _SYNTH_RATE_HZ))), dtype=np.float32)
    return stereo.reshape(-1, 2).mean(axis=1, dtype=np.float32)


def _active(samples: Samples) -> NDArray[np.bool_]:
    """Find frames of 10 ms that are nearly as loud as the loudest, ``(frames,)``; the last, short one included."""
    padded = np.pad(samples, (0, -len(samples) % _FRAME)).reshape(-1, _FRAME)
    power = np.square(padded, dtype=np.float64).mean(axis=1)
    loudest = float(power.max(initial=0.0))
    return power > max(loudest * 10 ** (_ACTIVE_DB / 10), 1e-12)


def _at_level(samples: Samples, level_db: float) -> Samples:
    """Scale samples to an RMS of ``level_db`` dBFS over the frames that sound; silence stays."""
    active = np.repeat(_active(samples), _FRAME)[: len(samples)]
    if not active.any():
        return samples
    rms = float(np.sqrt(np.square(samples[active], dtype=np.float64).mean()))
    return (samples * np.float32(10 ** (level_db / 20) / rms)).astype(np.float32)

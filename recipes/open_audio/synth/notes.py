"""Draw melodies and chords of one instrument, for SoundFonts to play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recipes.open_audio.synth.labels import FAMILIES, Labels, SoundedNote
from recipes.open_audio.tasks.plan import TRAIN, Clip, Note, Track

FONTS = ("fluid-soundfont-gm", "csound-soundfont")
"""Packages of the SoundFonts that play. TimGM6mb is not among them: pitch and instrument family validate on it."""

_SECONDS = (4.0, 10.0)
_HELD_S = (0.15, 1.2)
_GAP_S = 0.3  # at most, after a note
_LOWEST, _HIGHEST = 33, 96
_STEP = 7  # semitones between two notes at most
_CHORDS = 0.3  # share of the notes with others above them
_LEVEL_DB = -20.0
_NOISE_DB = (-70.0, -50.0)
_BASS = 4  # the family that plays low notes only
_HIGHEST_BASS = 60


@dataclass(frozen=True)
class Melody:
    """A clip that the tasks' renderer plays, its length, what is known of it, and the group it belongs to."""

    clip: Clip
    seconds: float
    labels: Labels
    group: str


def draw_melody(rng: np.random.Generator, name: str, fonts: Mapping[str, str]) -> Melody:
    """Draw a melody.

    Args:
        name: of the clip; its noise is drawn from it.
        fonts: path of each package's SoundFont, below the work folder.
    """
    package = str(rng.choice(sorted(fonts)))
    family = int(rng.integers(FAMILIES))
    program = 8 * family + int(rng.integers(8))
    highest = _HIGHEST_BASS if family == _BASS else _HIGHEST
    seconds = float(rng.uniform(*_SECONDS))
    key, at = int(rng.integers(_LOWEST, highest + 1)), float(rng.uniform(0, _GAP_S))
    tracks: list[Track] = []
    sounded: list[SoundedNote] = []
    while at < seconds - _HELD_S[0]:
        held = min(float(np.exp(rng.uniform(*np.log(_HELD_S)))), seconds - at)
        velocity = int(rng.integers(50, 111))
        for one in _chord(rng, key):
            note = Note(fonts[package], program, one, velocity, held)
            tracks.append(Track((note,), at_s=at, level_db=_LEVEL_DB))
            sounded.append(SoundedNote(one, program, at, at + held))
        at += held + float(rng.uniform(0, _GAP_S))
        key = int(np.clip(key + rng.integers(-_STEP, _STEP + 1), _LOWEST, highest))
    noise_db = float(rng.uniform(*_NOISE_DB))
    clip = Clip(name, TRAIN, (package,), tuple(tracks), noise_db=noise_db)
    return Melody(clip, seconds, Labels(notes=tuple(sounded)), f"{package}/{program:03d}")


def _chord(rng: np.random.Generator, key: int) -> list[int]:
    """Return a key, and in some cases one or two above it: a third, and a fifth or so."""
    if rng.random() >= _CHORDS:
        return [key]
    third = key + int(rng.integers(3, 6))
    return [key, third] if rng.random() < 0.5 else [key, third, third + int(rng.integers(3, 6))]

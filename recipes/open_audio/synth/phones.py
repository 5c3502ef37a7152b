"""Describe speech sounds by what the mouth does: letters of the IPA, and features of each letter.

The features are those of the chart of the International Phonetic Association (revised to 2020): place and manner of
consonants, height and backness of vowels. They are the same in all languages and for all speech synthesisers.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

_PLACES = ("labial", "dental", "alveolar", "postalveolar", "palatal", "velar", "uvular", "glottal")
_MANNERS = ("plosive", "nasal", "trill", "fricative", "approximant", "lateral", "sibilant")
FEATURES = (
    "speech",
    "vowel",
    "close",
    "mid",
    "open",
    "front",
    "central",
    "back",
    "rounded",
    "nasalised",
    "voiced",
    *_PLACES,
    *_MANNERS,
)
"""Names of the features, in the order of `features_of`."""

_CONSONANTS = {
    "labial plosive": "p b",
    "labial nasal": "m ɱ",
    "labial trill": "ʙ ⱱ",
    "labial fricative": "f v ɸ β",
    "labial approximant": "ʋ",
    "dental fricative": "θ ð",
    "alveolar plosive": "t d ʈ ɖ",
    "alveolar nasal": "n ɳ",
    "alveolar trill": "r ɾ ɽ",
    "alveolar fricative sibilant": "s z",
    "alveolar approximant": "ɹ ɻ",
    "alveolar lateral": "l ɫ ɭ ɺ",
    "alveolar fricative lateral": "ɬ ɮ",
    "postalveolar fricative sibilant": "ʃ ʒ ʂ ʐ",
    "palatal fricative sibilant": "ɕ ʑ",
    "palatal plosive": "c ɟ",
    "palatal nasal": "ɲ",
    "palatal fricative": "ç ʝ",
    "palatal approximant": "j",
    "palatal lateral": "ʎ",
    "labial palatal approximant rounded": "ɥ",
    "labial velar approximant rounded": "w ʍ",
    "velar plosive": "k ɡ",
    "velar nasal": "ŋ",
    "velar fricative": "x ɣ ɧ",
    "velar approximant": "ɰ",
    "velar lateral": "ʟ",
    "uvular plosive": "q ɢ",
    "uvular nasal": "ɴ",
    "uvular trill": "ʀ",
    "uvular fricative": "χ ʁ",
    "glottal fricative": "h ɦ ħ ʕ",
    "glottal plosive": "ʔ",
}
_VOICELESS = frozenset("pfɸθtʈsɬʃʂɕcçkxɧqχhħʔʍ")
_VOWELS = {
    "close front": "i y ɪ ʏ",
    "close central": "ɨ ʉ ᵻ",
    "close back": "ɯ u ʊ",
    "mid front": "e ø ɛ œ",
    "mid central": "ə ɘ ɵ ɜ ɞ ɚ ɝ",
    "mid back": "ɤ o ʌ ɔ",
    "open front": "æ a ɶ",
    "open central": "ɐ",
    "open back": "ɑ ɒ",
}
_ROUNDED = frozenset("yʏʉuʊøœɵɞoɔɶɒ")
_RHOTIC = frozenset("ɚɝ")
_NASAL_MARK = "\N{COMBINING TILDE}"
_SAME = {"g": "ɡ", "ε": "ɛ", "ʦ": "ts", "ʣ": "dz", "ʧ": "tʃ", "ʤ": "dʒ", "ᵊ": "ə", "ʲ": "j", "?": "ʔ"}

CMU = {
    "aa": "ɑ",
    "ae": "æ",
    "ah": "ʌ",
    "ao": "ɔ",
    "aw": "aʊ",
    "ax": "ə",
    "ay": "aɪ",
    "b": "b",
    "ch": "tʃ",
    "d": "d",
    "dh": "ð",
    "eh": "ɛ",
    "er": "ɚ",
    "ey": "eɪ",
    "f": "f",
    "g": "ɡ",
    "hh": "h",
    "ih": "ɪ",
    "iy": "i",
    "jh": "dʒ",
    "k": "k",
    "l": "l",
    "m": "m",
    "n": "n",
    "ng": "ŋ",
    "ow": "oʊ",
    "oy": "ɔɪ",
    "p": "p",
    "r": "ɹ",
    "s": "s",
    "sh": "ʃ",
    "t": "t",
    "th": "θ",
    "uh": "ʊ",
    "uw": "u",
    "v": "v",
    "w": "w",
    "y": "j",
    "z": "z",
    "zh": "ʒ",
}
"""The IPA of the phones of CMU's American English voices; ``pau`` is a pause."""


def letters_of(ipa: str) -> list[str]:
    """Split a phone into letters, each a base letter with or without the mark of a nasal.

    Length, stress, tone, palatalisation and other marks are dropped. A diphthong or an affricate gives two letters.
    """
    out: list[str] = []
    for sign in unicodedata.normalize("NFD", "".join(_SAME.get(sign, sign) for sign in ipa)):
        if sign == _NASAL_MARK and out:
            out[-1] += sign
        elif sign in _LETTERS:
            out.append(sign)
        elif sign == "\N{COMBINING CEDILLA}" and out and out[-1] == "c":
            out[-1] = "ç"
    return out


@cache
def features_of(letter: str) -> NDArray[np.float32]:
    """Return the features ``(F,)`` of a letter as `letters_of` gives it, each 0 or 1."""
    base, nasalised = letter[0], letter.endswith(_NASAL_MARK)
    words = {"speech", *_LETTERS[base].split()}
    if nasalised:
        words.add("nasalised")
    return np.array([name in words for name in FEATURES], dtype=np.float32)


def class_of(letter: str) -> str:
    """Return the broad class of a letter: one of four of vowels, or six of consonants."""
    words = set(_LETTERS[letter[0]].split())
    if "vowel" in words:
        return next(name for name in ("open", "central", "front", "back") if name in words)
    kind = next((name for name in ("sibilant", "nasal", "plosive", "fricative") if name in words), "liquid")
    return f"voiced {kind}" if kind == "plosive" and "voiced" in words else kind


def _table() -> dict[str, str]:
    table = {}
    for words, letters in _CONSONANTS.items():
        for letter in letters.split():
            table[letter] = words if letter in _VOICELESS else f"{words} voiced"
    for words, letters in _VOWELS.items():
        for letter in letters.split():
            more = " rounded" if letter in _ROUNDED else ""
            more += " approximant alveolar" if letter in _RHOTIC else ""
            table[letter] = f"vowel voiced {words}{more}"
    return table


_LETTERS = _table()

"""Draw texts to speak, from general word lists: single words with pauses, words in a row, numbers, letters."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from axlstm.errors import DataError

LANGUAGES = Path(__file__).with_name("languages.csv")
_LONGEST = 14  # letters of a word that is drawn; compounds of more are rare in speech
_LEAST_WORDS, _MOST_WORDS = 1000, 50_000  # of a list
_KINDS = ("list", "row", "numbers", "letters")
_SHARES = (0.5, 0.3, 0.12, 0.08)
_LARGEST = (10, 100, 1000)  # numbers are drawn below one of these


@dataclass(frozen=True)
class WordList:
    """A word list of a Debian package, and its language by espeak-ng's name."""

    language: str
    package: str
    path: Path
    encoding: str


@dataclass(frozen=True)
class Text:
    """A text, and its parts that are spoken with a pause after each."""

    kind: str
    parts: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """List its words, in order."""
        return [word for part in self.parts for word in part.split()]


def read_languages() -> list[WordList]:
    """List the word lists, in the order of the table."""
    with LANGUAGES.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [WordList(row["language"], row["package"], Path(row["path"]), row["encoding"]) for row in rows]


def read_words(wanted: WordList) -> list[str]:
    """Read words that are letters only and of ordinary length: each once, evenly from all of the list.

    Raises:
        DataError: no such file, one of another encoding, or one with hardly any words.
    """
    again = f"install the package {wanted.package}"
    try:
        lines = wanted.path.read_text(encoding=wanted.encoding).split()
    except FileNotFoundError as error:
        raise DataError(f"{wanted.path}: no such file; {again}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{wanted.path}: not {wanted.encoding} ({error}); {again} again") from error
    lines = lines[:: max(1, len(lines) // _MOST_WORDS)]
    words = list(dict.fromkeys(word for word in lines if word.isalpha() and len(word) <= _LONGEST))
    if len(words) < _LEAST_WORDS:
        raise DataError(f"{wanted.path}: {len(words)} words, expected {_LEAST_WORDS} or more; {again} again")
    return words


def draw_text(rng: np.random.Generator, words: Sequence[str], most_words: int = 9) -> Text:
    """Draw a text of a language.

    Args:
        words: the language's word list.
        most_words: of a text; at least three.
    """
    kind = str(rng.choice(_KINDS, p=_SHARES))
    count = int(rng.integers(3, most_words + 1))
    if kind == "numbers":
        below = rng.choice(_LARGEST, count)
        return Text(kind, tuple(str(int(rng.integers(0, most))) for most in below))
    drawn = [words[int(index)] for index in rng.integers(0, len(words), count)]
    if kind == "letters":
        letters = sorted({letter for word in drawn for letter in word.lower()})
        return Text(kind, tuple(str(letter) for letter in rng.permutation(letters)[:count]))
    if kind == "row":
        return Text(kind, (" ".join(drawn),))
    return Text(kind, tuple(drawn))

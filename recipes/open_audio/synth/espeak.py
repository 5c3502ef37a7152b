"""Speak with espeak-ng: many languages and voices, and the phones with their times."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.errors import ConfigError
from recipes.open_audio.synth.labels import Phone
from recipes.open_audio.synth.speech import Speech, SpeechError

PACKAGES = ("libespeak-ng1", "espeak-ng-data")
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7  # espeak-ng's numbers of its parameters
_WORD, _PHONEME = 1, 7  # and of its events
_PROGRAM = Path(__file__).with_name("espeak_process.py")
_PATIENCE_S = 120


@dataclass(frozen=True)
class EspeakManner:
    """How a text is spoken: voice ``LANGUAGE+VARIANT``, words a minute, pitch and its range from 0 to 99."""

    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    word_gap_ms: int


class Espeak:
    """The synthesiser espeak-ng.

    Raises:
        ConfigError: it is not installed.
    """

    def __init__(self) -> None:
        try:
            answer, _ = _ask({"parts": []})
        except SpeechError as error:
            raise ConfigError(f"{error}; install the packages {' and '.join(PACKAGES)}") from error
        folder = Path(answer["data"]) / "voices" / "!v"
        self.variants = sorted(file.name for file in folder.iterdir() if re.fullmatch(r"[A-Za-z0-9_-]+", file.name))

    def speak(self, parts: Sequence[str], manner: EspeakManner) -> list[Speech]:
        """Speak the parts of a text, one after another.

        Raises:
            SpeechError: an unknown voice, or a part without any sound.
        """
        parameters = [
            (_RATE, manner.words_per_minute),
            (_PITCH, manner.pitch),
            (_RANGE, manner.pitch_range),
            (_WORD_GAP, manner.word_gap_ms // 10),
        ]
        answer, samples = _ask({"voice": manner.voice, "parameters": parameters, "parts": list(parts)})
        out = []
        for text, events, content in zip(parts, answer["events"], samples, strict=True):
            if not content:
                raise SpeechError(f"espeak-ng gives no sound for {text!r:.100} by the voice {manner.voice}")
            sound = np.frombuffer(content, np.int16).astype(np.float32) / np.float32(32768)  # (n,)
            out.append(Speech(sound, answer["rate_hz"], _phones(events, len(sound) / answer["rate_hz"])))
        return out


def _ask(request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    command = [sys.executable, "-I", str(_PROGRAM)]
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise SpeechError(f"espeak-ng gives no answer within {_PATIENCE_S} s to {request['parts']!r:.200}") from error
    head, _, content = done.stdout.partition(b"\n")
    if done.returncode or not head:
        told = done.stderr.decode(errors="replace")[-200:]
        raise SpeechError(f"espeak-ng ends with status {done.returncode}: {told}")
    answer = json.loads(head)
    if "error" in answer:
        raise SpeechError(answer["error"])
    ends = np.cumsum([0, *answer["bytes"]]).tolist()
    return answer, [content[begin:end] for begin, end in pairwise(ends)]


def _phones(events: Sequence[tuple[int, int, str]], seconds: float) -> tuple[Phone, ...]:
    """Turn events into phones: each lasts until the next one; a word's event comes before its first phone."""
    marks: list[tuple[str, float, int]] = []
    word = -1
    for kind, ms, name in events:
        if kind == _WORD:
            word += 1
        elif kind == _PHONEME:
            marks.append((name.strip("_: "), ms / 1000, max(0, word)))
    ends = [start for _, start, _ in marks[1:]] + [seconds]
    return tuple(Phone(name, start, end, word) for (name, start, word), end in zip(marks, ends, strict=True))

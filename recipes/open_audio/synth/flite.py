"""Speak with flite: English voices that were learnt from recordings, and the phones with their times."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from axlstm.errors import ConfigError
from recipes.open_audio.synth.labels import Phone
from recipes.open_audio.synth.phones import CMU
from recipes.open_audio.synth.speech import Speech, SpeechError

PACKAGE = "flite"
VOICES = ("awb", "kal16", "rms", "slt")
_PAUSE = "pau"
_PATIENCE_S = 60


@dataclass(frozen=True)
class FliteManner:
    """How a text is spoken: the voice, how much slower, and its mean pitch in Hz."""

    voice: str
    slowness: float
    pitch_hz: float


class Flite:
    """The program flite.

    Raises:
        ConfigError: it is not installed.
    """

    def __init__(self) -> None:
        program = shutil.which("flite")
        if program is None:
            raise ConfigError(f"flite is not installed; install the package {PACKAGE}")
        self._program = program

    def speak(self, words: Sequence[str], manner: FliteManner) -> list[Speech]:
        """Speak words in English, one after another: flite does not say where a word in a row begins.

        Raises:
            SpeechError: flite fails, or gives other phones than those of its voices.
        """
        return [self._speak(word, manner) for word in words]

    def _speak(self, word: str, manner: FliteManner) -> Speech:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "out.wav"
            command = [self._program, "-voice", manner.voice, "-psdur", "-t", word, "-o", str(path)]
            command += ["--setf", f"duration_stretch={manner.slowness:.3f}"]
            command += ["--setf", f"int_f0_target_mean={manner.pitch_hz:.1f}"]
            try:
                done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired as error:
                raise SpeechError(f"flite gives no answer within {_PATIENCE_S} s to {word!r:.100}") from error
            if done.returncode or not path.is_file():
                raise SpeechError(f"flite fails on {word!r:.100}: {done.stderr.decode(errors='replace'):.200}")
            samples, rate_hz = soundfile.read(path, dtype="float32")  # (n,)
        return Speech(samples, rate_hz, read_phones(done.stdout.decode()))


def read_phones(printed: str) -> tuple[Phone, ...]:
    """Read the phones of one word that flite prints, as ``NAME:END`` in seconds.

    Raises:
        SpeechError: a name that is no phone of CMU's voices.
    """
    phones = []
    begin = 0.0
    for entry in printed.split():
        name, _, end = entry.partition(":")
        if name != _PAUSE and name not in CMU:
            raise SpeechError(f"flite prints a phone {name!r:.20}, expected one of CMU's")
        phones.append(Phone(CMU.get(name, ""), begin, float(end), 0))
        begin = float(end)
    return tuple(phones)

"""Short real recordings that ship with the package, for examples, demos and tests.

Every recording is CC0 or CC-BY; the file NOTICE beside the licence gives title, author, source and the
changes made to each.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from axlstm.errors import ConfigError

__all__ = ["SAMPLES", "Sample", "Stroke", "sample_names", "sample_path", "sample_paths", "strokes", "strokes_table"]


@dataclass(frozen=True)
class Sample:
    """One recording: what is heard, who made it and under which licence."""

    name: str
    kind: str
    description: str
    file_name: str
    licence: str
    author: str
    source: str


@dataclass(frozen=True)
class Stroke:
    """One stroke on a drum or cymbal: a clip of the small task that ships with the package."""

    path: Path
    label: str
    group: str  # its drum kit
    title: str
    author: str
    licence: str
    source: str


SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="bell",
        kind="bell",
        description="one stroke of a small bell, ringing out",
        file_name="bell.flac",
        licence="CC0-1.0",
        author="AlaskaRobotics",
        source="http://freesound.org/people/AlaskaRobotics/sounds/221515/",
    ),
    Sample(
        name="bird_call",
        kind="bird",
        description="harsh calls of an exotic bird",
        file_name="bird_call.ogg",
        licence="CC0-1.0",
        author="mpfeiffer (www.monoacustico.com)",
        source="http://freesound.org/people/mpfeiffer/sounds/115758/",
    ),
    Sample(
        name="bird_song",
        kind="bird",
        description="whistled song of an exotic bird, others behind it",
        file_name="bird_song.ogg",
        licence="CC0-1.0",
        author='James "swiftoid" Swift',
        source="http://freesound.org/people/swiftoid/sounds/182501/",
    ),
    Sample(
        name="engine_rev",
        kind="engine",
        description="car engine revving up, heard from inside the car",
        file_name="engine_rev.ogg",
        licence="CC-BY-3.0",
        author="Mike Koenig",
        source="http://soundbible.com/804-Engine-Rev-Inside-Car.html",
    ),
    Sample(
        name="piano_C4",
        kind="piano",
        description="grand piano, note C4, medium touch",
        file_name="piano_C4.ogg",
        licence="CC-BY-3.0",
        author="Alexander Holm",
        source="https://archive.org/details/SalamanderGrandPianoV3",
    ),
    Sample(
        name="piano_Fs4",
        kind="piano",
        description="the same grand piano, note F#4, medium touch",
        file_name="piano_Fs4.ogg",
        licence="CC-BY-3.0",
        author="Alexander Holm",
        source="https://archive.org/details/SalamanderGrandPianoV3",
    ),
    Sample(
        name="snare_hit",
        kind="drum",
        description="one soft stroke on a snare drum",
        file_name="snare_hit.flac",
        licence="CC0-1.0",
        author="menegass",
        source="http://www.freesound.org/people/menegass/sounds/100059/",
    ),
    Sample(
        name="snare_roll",
        kind="drum",
        description="roll on a snare drum",
        file_name="snare_roll.flac",
        licence="CC0-1.0",
        author="Heigh-hoo",
        source="http://freesound.org/people/Heigh-hoo/sounds/19433/",
    ),
    Sample(
        name="speech_it_queue",
        kind="speech",
        description="man, Italian: your call is now the first in the list and an operator will answer it",
        file_name="speech_it_queue.flac",
        licence="CC-BY-3.0",
        author="Carlo Flora (http://www.carloflora.com)",
        source="http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    Sample(
        name="speech_ru_queue",
        kind="speech",
        description="woman, Russian: your call is the first in the queue and an operator will answer it",
        file_name="speech_ru_queue.wav",
        licence="CC-BY-3.0",
        author="Maxim Topal (http://www.ivrvoice.ru)",
        source="http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    Sample(
        name="speech_ru_unavailable",
        kind="speech",
        description="the same woman, Russian: nobody can take your call at the moment",
        file_name="speech_ru_unavailable.flac",
        licence="CC-BY-3.0",
        author="Maxim Topal (http://www.ivrvoice.ru)",
        source="http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    Sample(
        name="tabla_ghe",
        kind="drum",
        description="tabla, stroke ghe on the large drum",
        file_name="tabla_ghe.flac",
        licence="CC0-1.0",
        author="dio_333",
        source="http://freesound.org/people/dio_333/sounds/130404/",
    ),
    Sample(
        name="tabla_na",
        kind="drum",
        description="tabla, open stroke na on the small drum",
        file_name="tabla_na.flac",
        licence="CC0-1.0",
        author="dio_333",
        source="http://freesound.org/people/dio_333/sounds/130422/",
    ),
    Sample(
        name="violin_A4",
        kind="violin",
        description="violin, sustained note A4",
        file_name="violin_A4.mp3",
        licence="CC-BY-3.0",
        author="the tonejs-instruments project, from recordings by Versilian Studios",
        source="https://github.com/Makefully-Studios/tonejs-instruments",
    ),
    Sample(
        name="water_lock",
        kind="water",
        description="water rushing into a canal lock",
        file_name="water_lock.wav",
        licence="CC-BY-3.0",
        author="inchadney",
        source="https://www.freesound.org/people/inchadney/sounds/34681/",
    ),
    Sample(
        name="water_river",
        kind="water",
        description="a river flowing",
        file_name="water_river.ogg",
        licence="CC0-1.0",
        author="Adam Newns (www.vennaudio.com)",
        source="http://freesound.org/people/Adam_N/sounds/166310/",
    ),
)


def sample_names() -> list[str]:
    """Names of the recordings, in alphabetical order."""
    return sorted(sample.name for sample in SAMPLES)


def sample_path(name: str) -> Path:
    """Path of one recording.

    Raises:
        ConfigError: no recording has this name; the message lists those that exist.
    """
    for sample in SAMPLES:
        if sample.name == name:
            return _folder() / "audio" / sample.file_name
    raise ConfigError(f"no sample is called {name!r}; choose one of: {', '.join(sample_names())}")


def sample_paths() -> list[Path]:
    """Paths of all recordings, in the order of `sample_names`."""
    return [sample_path(name) for name in sample_names()]


def strokes_table() -> Path:
    """A table of strokes for `axlstm.evaluate.tasks.make`: path, label (the drum) and group (the kit), and credits."""
    return _folder() / "strokes" / "table.csv"


def strokes() -> list[Stroke]:
    """The rows of `strokes_table`."""
    table = strokes_table()
    with table.open(newline="", encoding="utf-8") as file:
        return [Stroke(path=table.parent / row.pop("path"), **row) for row in csv.DictReader(file)]


def _folder() -> Path:
    return Path(str(files(__name__)))

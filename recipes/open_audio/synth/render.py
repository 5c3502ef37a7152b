"""Render labelled recordings into a folder, one after another: speech by two synthesisers, melodies by SoundFonts."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.errors import DataError
from axlstm.files import write_atomically
from recipes.open_audio.fetch import Report
from recipes.open_audio.synth.espeak import Espeak, EspeakManner
from recipes.open_audio.synth.flite import VOICES, Flite, FliteManner
from recipes.open_audio.synth.labels import Labels, Phone
from recipes.open_audio.synth.notes import FONTS, draw_melody
from recipes.open_audio.synth.phones import letters_of
from recipes.open_audio.synth.speech import Speech, SpeechError
from recipes.open_audio.synth.texts import draw_text, read_languages, read_words
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

FOLDER = "synth"
MANIFEST = "manifest.csv"
SETTINGS = "settings.json"
SKIPPED = "skipped.jsonl"
_FLITE_SHARE = 0.35  # of the speech; the rest is espeak-ng's
_STRETCH = (0.87, 1.15)  # how much faster and higher a voice is played: other sizes of the throat
_PAUSE_S = (0.08, 0.5)  # after each part of a text
_PEAK = 0.5
_NOISE_DB = (-75.0, -45.0)  # of white noise under speech, RMS under full scale: no recording is digitally silent
_ESPEAK_BOUNDS = ((110, 240), (15, 85), (20, 80), (0, 6))  # words a minute, pitch, its range, gaps in 10 ms
_MOST_FAILURES = 0.2  # share of texts that no voice speaks

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """How much is rendered."""

    speech_hours: float = 2.0
    note_hours: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Rendered:
    """One recording: samples ``(n,)`` at 16 kHz, its labels, its group for held-out records, and what was rendered."""

    samples: Samples
    labels: Labels
    group: str
    about: dict[str, Any]


Maker = Callable[[np.random.Generator, str], Rendered]


def render_all(work: Path, config: SynthConfig, report: Report) -> Path:
    """Render all recordings into ``WORK/synth``; returns the manifest for ``axlstm prepare``.

    A recording is there with its labels or not at all. The same call goes on after an interruption; the same settings
    and versions of the programs give the same recordings.

    Args:
        work: folder that fetch has worked in: it holds the SoundFonts.

    Raises:
        ConfigError: a synthesiser or the player of SoundFonts is not installed.
        DataError: a folder of other settings, a word list that is missing, or many texts that cannot be spoken.
        MissingError: a SoundFont that was not fetched.
    """
    folder = work / FOLDER
    _claim(folder, config)
    speaker, player = _Speaker(), _Player(work)
    rows: list[tuple[str, str, str]] = []
    skipped: list[dict[str, str]] = []
    kinds = (("speech", config.speech_hours, speaker.render), ("note", config.note_hours, player.render))
    for kind, hours, make in kinds:
        count = Counter[str]()
        for name, seconds, group in _render_kind(folder, kind, hours, config.seed, make, skipped):
            rows.append((name, kind, group))
            count["recordings"] += 1
            count["milliseconds"] += round(1000 * seconds)
            if count["recordings"] % 200 == 0:
                report(f"{kind}: {count['recordings']} recordings, {count['milliseconds'] / 3.6e6:.2f} h")
        report(f"{kind}: {count['recordings']} recordings, {count['milliseconds'] / 3.6e6:.2f} h, all")
    write_atomically(folder / SKIPPED, "".join(json.dumps(entry) + "\n" for entry in skipped).encode())
    if skipped:
        report(f"{len(skipped)} could not be rendered, see {folder / SKIPPED}")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "label", "group"])
    writer.writerows(rows)
    write_atomically(folder / MANIFEST, stream.getvalue().encode())
    return folder / MANIFEST


def read_labels(path: Path) -> Labels:
    """Read the labels of a rendered recording, which lie beside it.

    Raises:
        DataError: they are missing or damaged.
    """
    beside = path.with_suffix(".json")
    try:
        return Labels.from_dict(json.loads(beside.read_text(encoding="utf-8"))["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{beside}: labels that cannot be read ({error}); remove it and render again") from error


def _claim(folder: Path, config: SynthConfig) -> None:
    path, wanted = folder / SETTINGS, asdict(config)
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != wanted:
            raise DataError(f"{folder}: holds recordings of other settings ({found}); use the same, or remove it")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(wanted, indent=1).encode())


def _render_kind(
    folder: Path, kind: str, hours: float, seed: int, make: Maker, skipped: list[dict[str, str]]
) -> Iterator[tuple[str, float, str]]:
    """Render recordings until they last so many hours; yields name, seconds and group of each."""
    (folder / kind).mkdir(exist_ok=True)
    seconds, number, failed = 0.0, 0, 0
    while seconds < 3600 * hours:
        name = f"{kind}/{number:06d}.flac"
        path = folder / name
        if not path.with_suffix(".json").is_file():
            rng = np.random.default_rng([seed, *kind.encode(), number])
            try:
                _write(path, make(rng, path.stem))
            except SpeechError as error:
                failed += 1
                skipped.append({"recording": name, "reason": str(error)})
                if failed > 10 + _MOST_FAILURES * number:
                    raise DataError(f"{failed} of {number + 1} texts cannot be spoken; the last: {error}") from error
                number += 1
                continue
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        seconds += content["seconds"]
        number += 1
        yield name, content["seconds"], content["group"]


def _write(path: Path, rendered: Rendered) -> None:
    """Write the sound and then the labels: without labels, the recording is not there yet."""
    stream = io.BytesIO()
    soundfile.write(stream, rendered.samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    write_atomically(path, stream.getvalue())
    seconds = len(rendered.samples) / SAMPLE_RATE_HZ
    content = {"seconds": seconds, "group": rendered.group, **rendered.about, "labels": rendered.labels.to_dict()}
    write_atomically(path.with_suffix(".json"), json.dumps(content, ensure_ascii=False).encode())


class _Speaker:
    """Speaks drawn texts by drawn voices."""

    def __init__(self) -> None:
        self._words = {listed.language: read_words(listed) for listed in read_languages()}
        self._espeak, self._flite = Espeak(), Flite()

    def render(self, rng: np.random.Generator, name: str) -> Rendered:
        del name
        speak = self._by_flite if rng.random() < _FLITE_SHARE else self._by_espeak
        spoken, group, about = speak(rng)
        stretch = math.exp(rng.uniform(math.log(_STRETCH[0]), math.log(_STRETCH[1])))
        samples, phones = join_parts(spoken, rng, stretch)
        noise_db = float(rng.uniform(*_NOISE_DB))
        samples = samples + rng.normal(0, 10 ** (noise_db / 20), len(samples)).astype(np.float32)
        return Rendered(samples, Labels(phones=phones), group, {**about, "stretch": stretch})

    def _by_flite(self, rng: np.random.Generator) -> tuple[list[Speech], str, dict[str, Any]]:
        words = draw_text(rng, self._words["en-us"]).words
        voice = str(rng.choice(VOICES))
        manner = FliteManner(voice, float(rng.uniform(0.8, 1.3)), float(rng.uniform(85, 200)))
        about = {"language": "en-us", "text": words, **asdict(manner)}
        return self._flite.speak(words, manner), f"flite/{voice}", about

    def _by_espeak(self, rng: np.random.Generator) -> tuple[list[Speech], str, dict[str, Any]]:
        language = str(rng.choice(sorted(self._words)))
        text = draw_text(rng, self._words[language])
        variant = str(rng.choice(self._espeak.variants))
        rate, pitch, spread, gap = (int(rng.integers(*bounds)) for bounds in _ESPEAK_BOUNDS)
        manner = EspeakManner(f"{language}+{variant}", rate, pitch, spread, 10 * gap)
        about = {"language": language, "text": list(text.parts), **asdict(manner)}
        return self._espeak.speak(text.parts, manner), f"espeak-ng/{variant}", about


def join_parts(spoken: Sequence[Speech], rng: np.random.Generator, stretch: float) -> tuple[Samples, tuple[Phone, ...]]:
    """Join the parts of a text by pauses, played ``stretch`` times faster and higher.

    Returns:
        Samples ``(n,)`` at 16 kHz, and phones; words are numbered through.

    Raises:
        SpeechError: no sound at all, or a phone that is not on the chart.
    """
    sounds: list[Samples] = []
    phones: list[Phone] = []
    length, words = 0, 0
    for speech in spoken:
        samples = soxr.resample(speech.samples, speech.rate_hz * stretch, SAMPLE_RATE_HZ, quality="HQ")
        pause = np.zeros(round(rng.uniform(*_PAUSE_S) * SAMPLE_RATE_HZ), dtype=np.float32)
        begin_s = length / SAMPLE_RATE_HZ
        phones += [
            Phone(phone.ipa, begin_s + phone.start_s / stretch, begin_s + phone.end_s / stretch, words + phone.word)
            for phone in speech.phones
        ]
        words += 1 + max((phone.word for phone in speech.phones), default=0)
        sounds += [samples, pause]
        length += len(samples) + len(pause)
    if strange := {phone.ipa for phone in phones if phone.ipa and not letters_of(phone.ipa)}:
        raise SpeechError(f"phones that are not on the IPA's chart: {' '.join(sorted(strange))}")
    joined = np.concatenate(sounds)
    peak = float(np.abs(joined).max(initial=0.0))
    if peak == 0:
        raise SpeechError("all parts of a text are silent")
    return (joined * np.float32(_PEAK / peak)).astype(np.float32), tuple(phones)


class _Player:
    """Plays drawn melodies by the SoundFonts of a work folder."""

    def __init__(self, work: Path) -> None:
        recordings = Recordings(work, [])
        self._fonts: Mapping[str, str] = {package: recordings.soundfont(package) for package in FONTS}
        self._renderer = Renderer(work)

    def render(self, rng: np.random.Generator, name: str) -> Rendered:
        melody = draw_melody(rng, name, self._fonts)
        samples = self._renderer.clip(melody.clip, melody.seconds)
        return Rendered(samples, melody.labels, melody.group, {})

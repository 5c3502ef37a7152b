"""Plan language of speech: five languages, in clips of one voice, tested on collections that training has not heard."""

from __future__ import annotations

import random
import re
from collections import defaultdict

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.plan import Clip, Piece, TaskPlan, Track, of_one_group
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

DURATION_S = 4.0
LANGUAGES = ("en", "es", "fr", "it", "ru")

COLLECTIONS: dict[str, tuple[str, ...]] = {
    "asterisk-core": tuple(f"asterisk-core-sounds-{language}-g722/" for language in LANGUAGES),
    "asterisk-other": ("asterisk-prompt-it-menardi-wav/", "asterisk-prompt-es-co/", "asterisk-prompt-fr-armelle/"),
    "qabcs": ("qabcs-data/.*/abcs/en/sounds/words/",),
    "hedgewars": ("hedgewars-data/.*/voices/(British|Classic|Default_es|Default_ru)/",),
    "ktuberling": ("ktuberling-data/",),
    "klettres": ("klettres-data/",),
}
"""Patterns of paths: one studio, one project's volunteers, or one game. Of qabcs, English alone seems to be spoken by a
person: the other languages have the digital silence of synthesis."""

FOLDS = (("asterisk-core",), ("asterisk-other", "qabcs"), ("ktuberling",), ("klettres",), ("hedgewars",))
"""Qabcs has the language that the other prompts lack most."""

ENGLISH = ("hedgewars-data/British", "hedgewars-data/Classic")
"""Groups whose paths do not name their language."""

NO_SPEECH = r"(^|/)(silence/|beep|ascending|descending|.*tone|ring|tt-)"
"""Labels of prompts that nobody speaks."""

MOST_CLIPS = 40  # of one language in one collection
_LEAST_S = 2.5  # of speech in a clip


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task: clips of four seconds, each from recordings of one voice, one after another."""
    del renderer  # durations and paths say everything
    collection_of = _collections(recordings)
    rows = of_one_group([recordings.by_path[path] for path in collection_of], collection_of)
    voices: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        language = "en" if row.group in ENGLISH else row.language.partition("_")[0]
        if language in LANGUAGES:
            voices[collection_of[row.path], language][f"{row.group} {row.language}"].append(row)
    fold_of = {collection: f"fold{fold:02d}" for fold, members in enumerate(FOLDS) for collection in members}
    clips = []
    for (collection, language), rows_of in sorted(voices.items()):
        made = [
            sources
            for voice, its_rows in sorted(rows_of.items())
            for sources in joined(its_rows, DURATION_S, _LEAST_S, f"language {voice}")
        ]
        random.Random(f"language {collection} {language}").shuffle(made)
        for number, sources in enumerate(made[:MOST_CLIPS]):
            name = f"{collection}-{language}-{number:02d}"
            track = Track(sources, length_s=DURATION_S)
            clips.append(Clip(name, fold_of[collection], (collection,), (track,), (language,)))
    return TaskPlan(
        "language", "language of 4 s of one voice", "collection", DURATION_S, ("top1_acc", "mAP"), tuple(clips)
    )


def _collections(recordings: Recordings) -> dict[str, str]:
    """Find the collection of each recording of speech, by path."""
    out = {}
    for collection, patterns in COLLECTIONS.items():
        for pattern in patterns:
            for row in recordings.of(pattern.partition("/")[0]):
                is_speech = row.kind == "speech" and not re.search(NO_SPEECH, row.label)
                if is_speech and re.match(f"x/{pattern}", row.path):
                    out[row.path] = collection
    return out


def joined(rows: list[Row], seconds: float, least_s: float, seed: str) -> list[tuple[Piece, ...]]:
    """Join recordings in random order to sequences of at least ``least_s`` seconds; none is used twice."""
    rows = sorted({row.cluster: row for row in reversed(rows)}.values(), key=lambda row: row.path)
    random.Random(seed).shuffle(rows)
    out: list[tuple[Piece, ...]] = []
    pieces: list[Piece] = []
    length = 0.0
    for row in rows:
        pieces.append(Piece(row.path, end_s=min(row.duration_s, seconds)))
        length += min(row.duration_s, seconds)
        if length >= seconds:
            out.append(tuple(pieces))
            pieces, length = [], 0.0
    if length >= least_s:
        out.append(tuple(pieces))
    return out

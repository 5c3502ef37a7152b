"""Plan spoken words and phrases: the same ones by every voice, tested on voices that training has not heard."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.plan import Clip, Piece, TaskPlan, Track, fold_groups, without_copies
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

WORD_VOICES: tuple[tuple[str, ...], ...] = (
    ("de/female1", "female1"),
    ("de/female2", "female2"),
    ("de/male1", "male1"),
    ("de/male2",),
)
"""Voices of kajongg, a fold each line: four German, three English. The fourth of its default voices is left out: what
is learnt from the others says nothing about it, so that it may not speak the same words."""

PHRASE_VOICES = (
    "British",
    "Classic",
    "Default",
    "HillBilly",
    "Mobster",
    "Pirate",
    "Robot",
    "Russian",
    "Singer",
    "Surfer",
)
"""Voice packs of hedgewars that speak English."""

WORDLESS = ("Firepunch", "Hmm", "Jump", "Kamikaze", "Laugh", "Melon", "Ooff", "Ouch", "Ow", "Uh-oh")
"""Phrases of hedgewars that are exclamations, or that no two packs speak in the same way."""

_LEAST_SHARE = 0.7  # of the voices of a language speak a word that is taken
_DURATION_S = 2.0
_FOLDS = 5


def plan_words(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task of a Mah Jongg game's names of tiles and moves, in German and in English."""
    del renderer
    fold_of = {f"kajongg/{voice}": f"fold{fold:02d}" for fold, voices in enumerate(WORD_VOICES) for voice in voices}
    rows = [row for row in recordings.of("kajongg") if row.group in fold_of]
    labels = {row.path: f"{row.language} {row.label}" for row in rows}
    about = "names of Mah Jongg tiles and moves, in German and English"
    return _task("keyword_words", about, rows, labels, fold_of)


def plan_phrases(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task of the phrases of a game's fighters, which several packs share."""
    del renderer
    voices = {f"hedgewars-data/{voice}" for voice in PHRASE_VOICES}
    rows = [
        row
        for row in recordings.of("hedgewars-data")
        if row.group in voices and row.kind == "speech" and row.label.rstrip("0123456789") not in WORDLESS
    ]
    fold_of = fold_groups(Counter(row.group for row in rows), _FOLDS)
    labels = {row.path: row.label for row in rows}
    return _task("keyword_phrases", "phrases of game fighters, in English", rows, labels, fold_of)


def _task(name: str, about: str, rows: list[Row], labels: dict[str, str], fold_of: dict[str, str]) -> TaskPlan:
    """Plan the clips of all labels that most voices of a language have."""
    kept = without_copies(rows, labels, {row.path: row.group for row in rows})
    voices_of: dict[str, set[str]] = defaultdict(set)
    for row in kept:
        voices_of[row.language].add(row.group)
    count = Counter(labels[row.path] for row in kept)
    clips = tuple(
        Clip(
            f"{row.group.partition('/')[2].replace('/', '-')}-{Path(row.path).stem}",
            fold_of[row.group],
            (row.group,),
            (Track((Piece(row.path),)),),
            (labels[row.path],),
        )
        for row in kept
        if count[labels[row.path]] >= _LEAST_SHARE * len(voices_of[row.language])
    )
    return TaskPlan(name, about, "voice", _DURATION_S, ("top1_acc",), clips)

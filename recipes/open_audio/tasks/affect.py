"""Plan vocal affect: cries of pain and effort, screams, gasps and laughs of game characters, the voice held out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.plan import Clip, Piece, TaskPlan, Track, fold_groups, without_copies
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

PLAYERS = ("nexuiz-data", "openarena-data", "openarena-085-data", "openarena-088-data")
"""Games whose characters have the same set of cries."""

FIGHTERS = "hedgewars-data"

RULES: dict[str, str] = {
    "pain": r"pain\d+(_\d)?|Ow\d|Ouch|Ooff\d",
    "effort": r"jump\d?|Jump\d",
    "scream": r"death\d?|falling\d?",
    "gasp": r"gasp|drown",
    "laugh": r"Laugh\d?",
}
"""Whole names of files, without their ending."""

MOST_OF_A_VOICE = 4  # clips of one class
_DURATION_S = 2.0
_FOLDS = 5
_CHARACTER = r"/sound/player/(?!footsteps/|announcer/)([^/]+)/"


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task, from the characters of four packages of two games and the voice packs of a third."""
    del renderer  # names say everything
    rows = [row for row in recordings.of_any(*PLAYERS) if re.search(_CHARACTER, row.path)]
    rows += [row for row in recordings.of(FIGHTERS) if row.kind == "speech"]
    labels = {row.path: label for row in rows if (label := find_class(Path(row.path).stem))}
    voices = {row.path: find_voice(row) for row in rows}
    alike = without_copies([row for row in rows if row.path in labels], labels, voices)
    kept = _capped(alike, [(voices[row.path], labels[row.path]) for row in alike])
    fold_of: dict[str, str] = {}
    for fighters in (False, True):
        fold_of |= fold_groups(
            Counter(voices[row.path] for row in kept if (row.package == FIGHTERS) is fighters), _FOLDS
        )
    clips = tuple(
        Clip(
            f"{voices[row.path].replace('/', '-')}-{Path(row.path).stem}",
            fold_of[voices[row.path]],
            (voices[row.path],),
            (Track((Piece(row.path),)),),
            (labels[row.path],),
        )
        for row in kept
    )
    return TaskPlan("vocal_affect", "cries of game characters", "voice", _DURATION_S, ("mAP", "top1_acc"), clips)


def find_voice(row: Row) -> str:
    """Name the voice: the character of a game, or the voice pack."""
    found = re.search(_CHARACTER, row.path)
    return f"{row.package}/{found[1]}" if found else row.group


def find_class(name: str) -> str | None:
    """Find the class of a file by its name; None if it has none."""
    return next((label for label, rule in RULES.items() if re.fullmatch(rule, name)), None)


def _capped(rows: list[Row], keys: list[tuple[str, str]]) -> list[Row]:
    """Keep the first few recordings of each voice and class."""
    count: Counter[tuple[str, str]] = Counter()
    kept = []
    for row, key in zip(rows, keys, strict=True):
        count[key] += 1
        if count[key] <= MOST_OF_A_VOICE:
            kept.append(row)
    return kept

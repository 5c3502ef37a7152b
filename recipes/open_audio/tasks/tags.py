"""Plan several tags a clip: one to three environmental sounds at once, and their kinds; the package is held out."""

from __future__ import annotations

import random
from collections import defaultdict

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.environment import DURATION_S, choose, find_folds
from recipes.open_audio.tasks.plan import Clip, Piece, TaskPlan, Track
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

PARENTS: dict[str, str] = {
    "bird": "animal",
    "hoofed animal": "animal",
    "predator": "animal",
    "breaking": "impact",
    "explosion": "impact",
    "metal": "impact",
    "fire": "element",
    "water": "element",
}
"""Tags that come with another, as in FSD50K (E. Fonseca et al., IEEE/ACM TASLP 30, 2022)."""

CLIPS = 120  # of a fold
_MOST = 3
_LEVEL_DB = (-28.0, -20.0)


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task, from the recordings and the folds of the environmental sounds."""
    del renderer  # durations and names say everything
    chosen = choose(recordings)
    fold_of = find_folds(chosen)
    by_fold: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row, label in chosen:
        by_fold[fold_of[row.package]][label].append(row)
    clips = []
    for fold, rows_of in sorted(by_fold.items()):
        draw = random.Random(f"tags {fold}")
        for number in range(CLIPS):
            labels = draw.sample(sorted(rows_of), min(len(rows_of), draw.randint(1, _MOST)))
            rows = [draw.choice(rows_of[label]) for label in labels]
            tags = sorted({*labels, *(PARENTS[label] for label in labels if label in PARENTS)})
            groups = tuple(sorted({row.package for row in rows}))
            tracks = tuple(_track(row, draw) for row in rows)
            clips.append(Clip(f"{fold}-{number:03d}", fold, groups, tracks, tuple(tags)))
    about = "1 to 3 environmental sounds at once, with the tags of their kinds"
    return TaskPlan("tags", about, "package", DURATION_S, ("mAP", "aucroc"), tuple(clips))


def _track(row: Row, draw: random.Random) -> Track:
    at = round(draw.uniform(0.0, max(0.0, DURATION_S - row.duration_s)), 2)
    level = round(draw.uniform(*_LEVEL_DB), 1)
    return Track((Piece(row.path, end_s=min(row.duration_s, DURATION_S)),), at_s=at, level_db=level)

"""Plan environmental sound: ten classes of effects and animals, the package held out.

Files are found by the words of their names (`RULES`). Nobody listened to them. Their log-mel spectrograms, drawn by
`sheets`, were looked at, class by class. Files that do not look like their name, or whose spectrogram says nothing,
are listed in ``environment_dropped.csv`` with the reason.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.plan import Clip, Piece, TaskPlan, Track, balanced_groups, without_copies
from recipes.open_audio.tasks.recordings import MissingError, Recordings
from recipes.open_audio.tasks.render import Renderer

DROPPED = Path(__file__).with_name("environment_dropped.csv")

RULES: dict[str, str] = {
    "bird": r"birds?|birdsong|crow|owl|eagle|seagull|gull|chicken|rooster|cock|duck|goose|parrot|hen|turkey|stork|"
    r"pigeon|cuckoo|raven|grouse|quail|pheasant|magpie|swan|woodpecker|penguin|flamingo|peacock|ostrich|tweet|vulture",
    "breaking": r"glass|shatter\w*|crash\w*|breaks?|breaking|break glass",
    "engine": r"engine|motor|motorbike|motorcycle|car|truck|tractor|helicopter|airplane|plane|train|jet|tank|chopper|"
    r"lawnmower|bus|locomotive|steamboat|traffic|car ?passing",
    "explosion": r"explo\w*|expl|boom|blast|detonat\w*|kaboom",
    "fire": r"fire|burn\w*|flames?|campfire|torch|fireplace|furnace",
    "footsteps": r"foot ?steps?\w*|steps?\w*|walk\w*",
    "hoofed animal": r"cow|sheep|lamb|goat|moo|baa|horse|donkey|neigh|pig|boar|moose|deer|oink|bull|zebra|camel",
    "metal": r"metal|sword|clang|clank|hammer\w*|anvil|coins?|chain|saber|dagger|blade",
    "predator": r"dog|wolf|bark\w*|wolf ?howl|growl\w*|lion|tiger|cat|meow\w*|bear|fox|hyena|leopard|jaguar|panther",
    "water": r"water|waterfall|splash\w*|river|stream|swim\w*|rain|drip\w*|ocean|waves?|bubbles?|fountain|watr|"
    r"surf|sea",
}
"""By class: words of a file's name, in lower case and without digits."""

NOT: dict[str, str] = {
    "bird": r"",
    "breaking": r"magnifying|footstep|cup|water|flask|wine",
    "engine": r"underattack|ready|action|select\w*|crash|horn|skid|door|moveout|tire|tyre|explo\w*|gun|fire",
    "explosion": r"boomerang|expla\w*",
    "fire": r"fire ?work\w*|bullet|engine|truck|gun|fighter|bow|crossbow|shot|rocket|laser|missile|weapon",
    "footsteps": r"",
    "hoofed animal": r"canter|ready|rocking|golden|head|guinea|sea|hammer",
    "metal": r"footstep|step|glass|drop|rhino",
    "predator": r"canter|sea|polar|ready|catapult|cat fish",
    "water": r"water ?color|mark|melon|glass|tower|buffalo|snow|sword|sea ?(lion|horse|gull)|waver",
}

MOST_OF_A_PACKAGE = 12  # clips of one class
LEAST_S, MOST_S = 0.15, 30.0
DURATION_S = 4.0
FOLDS = 5
_LEAST_PACKAGES = 3  # in all, of a class that is taken


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task, from all fetched packages whose effects are reserved for it."""
    del renderer  # names say everything
    chosen = choose(recordings)
    fold_of = find_folds(chosen)
    clips = tuple(
        Clip(
            f"{row.package}-{_unambiguous(row)}",
            fold_of[row.package],
            (row.package,),
            (Track((Piece(row.path, end_s=min(row.duration_s, DURATION_S)),)),),
            (label,),
        )
        for row, label in chosen
    )
    return TaskPlan("environment", "effects and animals of games", "package", DURATION_S, ("top1_acc", "mAP"), clips)


def find_folds(chosen: list[tuple[Row, str]]) -> dict[str, str]:
    """Assign packages to folds, so that every class is in every fold as far as packages allow."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, label in chosen:
        counts[row.package][label] += 1
    return balanced_groups(counts, {f"fold{fold:02d}": 1 / FOLDS for fold in range(FOLDS)})


def choose(recordings: Recordings, drops: bool = True) -> list[tuple[Row, str]]:
    """Choose the recordings of the task and their classes, by path.

    Args:
        drops: leave out what was dropped after a look at it.

    Raises:
        MissingError: fewer than three packages have recordings of some class.
    """
    dropped = read_dropped() if drops else {}
    rows = [
        row
        for row in recordings.all()
        if "environment" in row.reserved.split()
        and row.kind in ("effect", "speech")
        and LEAST_S <= row.duration_s <= MOST_S
        and identity(row) not in dropped
    ]
    labels = {row.path: label for row in rows if (label := find_class(Path(row.path).stem))}
    groups = {row.path: row.package for row in rows}
    kept = without_copies([row for row in rows if row.path in labels], labels, groups)
    count: dict[tuple[str, str], int] = defaultdict(int)
    chosen = []
    for row in kept:
        key = row.package, labels[row.path]
        count[key] += 1
        if count[key] <= MOST_OF_A_PACKAGE:
            chosen.append((row, labels[row.path]))
    packages: dict[str, set[str]] = {label: set() for label in RULES}
    for row, label in chosen:
        packages[label].add(row.package)
    few = [label for label, found in packages.items() if len(found) < _LEAST_PACKAGES]
    if few:
        raise MissingError(f"needs {_LEAST_PACKAGES} packages with the class {few[0]}: fetch more packages")
    return chosen


def find_class(name: str) -> str | None:
    """Find the one class that a file's name (without its ending) has words of; None for none, or several."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z]+", " ", name).lower()
    found = [
        label
        for label, rule in RULES.items()
        if re.search(rf"\b({rule})\b", spaced) and not (NOT[label] and re.search(rf"\b({NOT[label]})\b", spaced))
    ]
    return found[0] if len(found) == 1 else None


def identity(row: Row) -> str:
    """Return a recording's package and name, as in ``environment_dropped.csv``."""
    return f"{row.package}/{Path(row.path).name}"


def read_dropped(path: Path = DROPPED) -> dict[str, str]:
    """Read the dropped recordings and the reasons, by `identity`."""
    with path.open(newline="", encoding="utf-8") as file:
        return {entry["recording"]: entry["reason"] for entry in csv.DictReader(file)}


def _unambiguous(row: Row) -> str:
    """Return the last folder and the name of a file; names alone occur several times in a package."""
    path = Path(row.path)
    return f"{path.parent.name}-{path.name.replace('.', '-')}"

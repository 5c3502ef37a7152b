"""Plan percussion strokes: the drum kits of the Hydrogen drum machine, one author's kits on one side of every split.

A stroke's class is read from the instrument's name in ``drumkit.xml``. Instruments that no rule matches, or more than
one, are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from recipes.open_audio.tasks.plan import Clip, Piece, TaskPlan, Track, fold_groups, without_copies
from recipes.open_audio.tasks.recordings import Recordings
from recipes.open_audio.tasks.render import Renderer

PACKAGES = ("hydrogen-drumkits", "hydrogen-data")
FOLDS = 5

RULES: dict[str, str] = {
    "snare": r"\bsnare",
    "tom": r"\btom",
    "kick": r"\bkick\b|\bbass ?drum\b",
    "ride": r"\bride\b",
    "crash": r"\bcrash",
    "hand drum": r"\b(conga|bongo|djembe|cajon)",
    "hi-hat closed": r"^(?=.*\b(hh|hat)\b)(?=.*\bclosed\b)",
    "hi-hat open": r"^(?=.*\b(hh|hat)\b)(?=.*\b(open|opened)\b)",
    "tambourine or shaker": r"\b(tambourine|shaker|maraca)",
}
"""Searched in the instrument's name in lower case, without what stands in parentheses."""

NEITHER = r"\broll\b|\bstick\b|\bsemi"
"""Names that a rule would match but that are no single stroke of its class: rolls, side sticks, half-open hi-hats."""

ELECTRONIC: dict[str, str] = {
    "Audiophob": "collected on the web, among them an 8-bit snare and toms made of noise",
    "ElectricEmpireKit": "synthesised, says its author",
    "HardElectro1": "synthesised, says its author",
    "TR808EmulationKit": "a drum machine",
    "VariBreaks": "synthesised, says its author",
}
"""Kits that are left out, and why: the task is about recordings of instruments."""

GROUPS: dict[str, str] = {
    "The Black Pearl 1.0": "glen-macarthur",
    "GMRockKit": "glen-macarthur",
    "Gimme A Hand 1.0": "glen-macarthur",
    "Millo-Drums_v.1": "millo",
    "Millo_MultiLayered2": "millo",
    "Millo_MultiLayered3": "millo",
    "rumpf_kit_z01_h2": "millo",
}
"""Kits of one author, who records the same instruments again; every other kit is a group of its own.

Rumpf's has nothing to do with Millo's. They stand together so that of five folds, each tested once while the next one
validates, none is without training recordings of a class: hand drums and tambourines are in two kits only.
"""


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task, from the kits that were fetched."""
    del renderer  # paths and kits say everything
    rows = recordings.of(*PACKAGES)
    folders = {Path(row.path).parent for row in rows if Path(row.path).parent.parent.name == "drumkits"}
    named: dict[str, set[str]] = {}
    for folder in sorted(folders):
        if folder.name not in ELECTRONIC and (recordings.folder / folder / "drumkit.xml").is_file():
            for file, instrument in read_kit(recordings.folder / folder):
                named.setdefault((folder / file).as_posix(), set()).add(find_class(instrument) or "")
    labels = {path: min(found) for path, found in named.items() if len(found) == 1 and min(found)}
    groups = {path: GROUPS.get(Path(path).parent.name, Path(path).parent.name) for path in labels}
    kept = without_copies([row for row in rows if row.path in labels], labels, groups)
    fold_of = fold_groups(Counter(groups[row.path] for row in kept), FOLDS)
    clips = [
        Clip(
            f"{Path(row.path).parent.name}-{Path(row.path).stem}",
            fold_of[groups[row.path]],
            (groups[row.path],),
            (Track((Piece(row.path),)),),
            (labels[row.path],),
        )
        for row in kept
    ]
    return TaskPlan(
        "percussion", "strokes of acoustic drum kits", "author of the kit", 2.0, ("top1_acc", "mAP"), tuple(clips)
    )


def read_kit(folder: Path) -> Iterator[tuple[str, str]]:
    """Read the files and instruments that a kit's ``drumkit.xml`` names, in its order.

    Instruments have one file, in ``filename``, or one a velocity, in ``layer/filename``; tags may have a namespace.
    """
    for element in ElementTree.parse(folder / "drumkit.xml").iter():
        if _tag(element) != "instrument":
            continue
        name = next((child.text for child in element if _tag(child) == "name"), None) or ""
        for child in element.iter():
            if _tag(child) == "filename" and child.text:
                yield child.text, name.strip()


def find_class(instrument: str) -> str | None:
    """Find the one class whose rule matches an instrument's name; None if none does, or several do."""
    name = re.sub(r"\(.*?\)", "", instrument.lower())
    name = re.sub(r"[-_/]", " ", name).replace("hi hat", "hat")
    if re.search(NEITHER, name):
        return None
    found = [label for label, rule in RULES.items() if re.search(rule, name)]
    return found[0] if len(found) == 1 else None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]

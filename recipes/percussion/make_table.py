"""Drum kits of the Hydrogen drum machine as a table for ``axlstm hear make``: one stroke a row, its class, its kit.

    python make_table.py DRUMKITS table.csv

DRUMKITS holds one folder a kit, each with a ``drumkit.xml`` and its recordings. A stroke's class is read from the name
that the kit's author gave to the instrument; what no rule names, or more than one, is dropped, counted and printed.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from axlstm.audio import load_audio
from axlstm.errors import AudioError

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


@dataclass(frozen=True)
class Stroke:
    """A recording of a kit, and what the kit calls it."""

    path: Path
    kit: str
    instrument: str


def read_kit(folder: Path) -> list[Stroke]:
    """The recordings that a kit's ``drumkit.xml`` names, in its order.

    Instruments have one file, in ``filename``, or one a velocity, in ``layer/filename``; tags may have a namespace.
    """
    strokes = []
    for element in ElementTree.parse(folder / "drumkit.xml").iter():
        if _tag(element) != "instrument":
            continue
        name = next((child.text for child in element if _tag(child) == "name"), None) or ""
        files = [child.text for child in element.iter() if _tag(child) == "filename"]
        strokes += [Stroke(folder / file, folder.name, name.strip()) for file in files if file]
    return strokes


def find_class(instrument: str) -> str | None:
    """The one class whose rule matches an instrument's name; None if none does, or several do."""
    name = re.sub(r"\(.*?\)", "", instrument.lower())
    name = re.sub(r"[-_/]", " ", name).replace("hi hat", "hat")
    if re.search(NEITHER, name):
        return None
    found = [label for label, rule in RULES.items() if re.search(rule, name)]
    return found[0] if len(found) == 1 else None


def fingerprint(path: Path) -> str:
    """SHA-256 of the decoded samples: equal for copies, whatever their file format."""
    return hashlib.sha256(load_audio(path).tobytes()).hexdigest()


def drop_copies(strokes: list[tuple[Stroke, str]]) -> list[tuple[Stroke, str]]:
    """One row a sound: the first of several copies, and none where copies are of different classes."""
    copies: dict[str, list[tuple[Stroke, str]]] = defaultdict(list)
    for stroke, label in strokes:
        try:
            copies[fingerprint(stroke.path)].append((stroke, label))
        except (AudioError, FileNotFoundError) as error:
            print(f"left out: {error}", file=sys.stderr)
    return [members[0] for members in copies.values() if len({label for _, label in members}) == 1]


def main() -> None:
    """Read kits, write the table, say what was left out."""
    parser = argparse.ArgumentParser(description="Make a table of percussion strokes from Hydrogen's drum kits.")
    parser.add_argument("drumkits", type=Path, help="a folder of kits, such as usr/share/hydrogen/data/drumkits")
    parser.add_argument("table", type=Path, help="the CSV file to write")
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.drumkits.glob("*/drumkit.xml"))
    if not folders:
        parser.error(f"{options.drumkits} holds no kit: expected folders with a drumkit.xml")

    strokes = [stroke for folder in folders if folder.name not in ELECTRONIC for stroke in read_kit(folder)]
    named = [(stroke, label) for stroke in strokes if (label := find_class(stroke.instrument)) is not None]
    rows = drop_copies(named)
    with options.table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "group"])
        for stroke, label in rows:
            path = Path(os.path.relpath(stroke.path, options.table.parent)).as_posix()
            writer.writerow([path, label, GROUPS.get(stroke.kit, stroke.kit)])

    for kit in sorted(ELECTRONIC.keys() & {folder.name for folder in folders}):
        print(f"left out: {kit} ({ELECTRONIC[kit]})")
    unnamed = Counter(
        re.sub(r"\d+", "#", stroke.instrument) for stroke in strokes if find_class(stroke.instrument) is None
    )
    print(f"left out: {unnamed.total()} recordings that no rule, or more than one, names:")
    print("  " + ", ".join(f"{name or '(no name)'} {count}" for name, count in sorted(unnamed.items())))
    print(f"left out: {len(named) - len(rows)} copies of others, or unreadable")
    for title, column in (("classes", 1), ("kits", 0)):
        counts = Counter(row[1] if column else row[0].kit for row in rows)
        print(f"{title}: " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    print(f"{options.table}: {len(rows)} strokes")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


if __name__ == "__main__":
    main()

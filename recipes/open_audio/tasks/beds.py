"""Choose backgrounds: long recordings of wind, water, fire, machines, for scenes and mixtures."""

from __future__ import annotations

import re
from pathlib import Path

from recipes.open_audio.manifest import Row
from recipes.open_audio.reserved import is_reserved
from recipes.open_audio.tasks.recordings import MissingError, Recordings

_NAME = re.compile(r"(?i)(?<![a-z])(wind|rain|water|waterfall|river|ocean|waves?|fire|engine|machine|hum)(?![a-z])")
_NOT = re.compile(r"(?i)chime|start|shutdown|power|failure|alien|ship|rifle|lance|explosion|swim|splash|battle")
LEAST_S = 3.0
_LEAST = 3  # on each side


def find_beds(recordings: Recordings) -> list[Row]:
    """Find recordings that can be a background, one of each cluster, by path."""
    found: dict[int, Row] = {}
    for row in recordings.all():
        is_long = row.kind == "effect" and row.duration_s >= LEAST_S
        if is_long and _NAME.search(Path(row.path).stem) and not _NOT.search(Path(row.path).stem):
            found.setdefault(row.cluster, row)
    return sorted(found.values(), key=lambda row: row.path)


def split_beds(recordings: Recordings) -> dict[str, list[Row]]:
    """Split the beds into train, valid and test, by package; tests take reserved ones only.

    Raises:
        MissingError: too few for one of them.
    """
    beds = find_beds(recordings)
    packages = sorted({row.package for row in beds if is_reserved(vars(row))})
    tested = set(packages[::2])
    selected = set(packages[1::2])
    out = {
        "train": [row for row in beds if row.package not in tested | selected],
        "valid": [row for row in beds if row.package in selected],
        "test": [row for row in beds if row.package in tested and is_reserved(vars(row))],
    }
    for split, rows in out.items():
        if len(rows) < _LEAST:
            raise MissingError(f"needs {_LEAST} backgrounds for {split}, found {len(rows)}: fetch more packages")
    return out

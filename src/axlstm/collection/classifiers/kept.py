"""Keep classifiers in the folder of a collection, by name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from axlstm.collection.classifiers.classifier import is_classifier
from axlstm.collection.folder import CollectionFolder
from axlstm.errors import ConfigError, name_some

FOLDER = "classifiers"
_MOST_CHARACTERS = 60


def list_kept(collection: CollectionFolder) -> dict[str, Path]:
    """List the classifiers in the folder of a collection by their names, the latest last."""
    try:
        with os.scandir(collection.folder / FOLDER) as entries:
            found = [(entry.stat().st_mtime_ns, entry.name, Path(entry.path)) for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: path for _, name, path in sorted(found) if is_classifier(path)}


def find_kept(collection: CollectionFolder, name: str) -> Path:
    """Return where a classifier lies. No path is made of the name.

    Raises:
        ConfigError: there is none of that name.
    """
    there = list_kept(collection)
    if name not in there:
        known = name_some(there) or "none: train one"
        raise ConfigError(f"{collection.folder}: no classifier {name[:80]!r}; it has {known}")
    return there[name]


def new_place(collection: CollectionFolder, labels: Sequence[str]) -> Path:
    """Return where a new classifier of some labels may lie, by a name that no other one has."""
    stem = re.sub(r"[^\w-]+", "_", "_".join(labels)).strip("_")[:_MOST_CHARACTERS] or "classifier"
    folder, number = collection.folder / FOLDER, 1
    while (place := folder / (stem if number == 1 else f"{stem}_{number}")).exists():
        number += 1
    return place

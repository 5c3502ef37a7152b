"""Find names that are like one that was given: of recordings, and of labels."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from axlstm.collection.folder import CollectionFolder

_MOST_COMPARED = 10_000  # names of recordings
_LIKENESS = 0.8  # of labels, from 0 to 1: one letter of four differs, or two of ten


def hint_recording(collection: CollectionFolder, name: str) -> str:
    """Return which recordings have a name like one that is of none, for the end of a message."""
    rows = collection.tables.execute("SELECT path FROM recordings WHERE removed_at IS NULL LIMIT ?", (_MOST_COMPARED,))
    paths = {row["path"].rpartition("/")[2].casefold(): row["path"] for row in rows}
    near = difflib.get_close_matches(Path(name).name.casefold(), paths, 3)
    return f"; did you mean {' or '.join(paths[one] for one in near)}?" if near else ""


def find_alike(collection: CollectionFolder, names: Iterable[str]) -> dict[str, str]:
    """Find, for names that no label has yet, one of a label that differs in a few letters only."""
    known = [row[0] for row in collection.tables.execute("SELECT DISTINCT label FROM labels WHERE undone_at IS NULL")]
    lowered = {name.casefold(): name for name in known}
    alike = {}
    for name in set(names).difference(known):
        if near := difflib.get_close_matches(name.strip().casefold(), lowered, 1, _LIKENESS):
            alike[name] = lowered[near[0]]
    return alike

"""Find names that are like one that was given: of recordings, and of labels."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable

from axlstm.collection.folder import CollectionFolder
from axlstm.errors import name_some

_MOST_COMPARED = 10_000  # names of recordings
_LIKENESS = 0.75  # of labels, from 0 to 1: one letter of four differs
_MOST_NAMES = 500  # of labels: comparing more takes longer than it helps


def hint_recording(collection: CollectionFolder, name: str) -> str:
    """Return which recordings have a name like one that is of none, for the end of a message."""
    rows = collection.tables.execute("SELECT path FROM recordings WHERE removed_at IS NULL LIMIT ?", (_MOST_COMPARED,))
    paths: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        path: str = row["path"]
        paths[(path if "/" in name else path.rpartition("/")[2]).casefold()].append(path)
    near = difflib.get_close_matches(name.casefold(), paths, 3)
    found = [path for one in near for path in sorted(paths[one])]
    return f"; did you mean {name_some(found, ' or ', most=3)}?" if found else ""


def find_alike(collection: CollectionFolder, names: Iterable[str]) -> dict[str, str]:
    """Find, for names that no label has yet, one of a label that differs in a few letters only."""
    known = [row[0] for row in collection.tables.execute("SELECT DISTINCT label FROM labels WHERE undone_at IS NULL")]
    lowered = {name.casefold(): name for name in known}
    alike = {}
    fresh = set(names).difference(known)
    for name in fresh if len(fresh) + len(known) <= _MOST_NAMES else ():
        if near := difflib.get_close_matches(name.casefold(), lowered, 1, _LIKENESS):
            alike[name] = lowered[near[0]]
    return alike

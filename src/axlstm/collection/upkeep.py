"""Keep a collection in order: remove recordings, give room back, and follow recordings to another folder."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from axlstm.collection.changes import changing, clear_unused, list_parts, rewrite_wasteful
from axlstm.collection.folder import CollectionFolder, find_named
from axlstm.collection.recordings import list_recordings, list_removed, remove_recording
from axlstm.collection.statistics import renew_statistics
from axlstm.errors import ConfigError, name_some
from axlstm.files import is_gone, readable_name
from axlstm.threads import on_all_cores


@dataclass(frozen=True)
class Removed:
    """Paths that `remove` removed, how many labels stay with them, and paths that had been removed before."""

    paths: tuple[str, ...]
    labels: int
    earlier: tuple[str, ...] = ()


def remove(collection: CollectionFolder, paths: Sequence[str | os.PathLike[str]], *, gone: bool = False) -> Removed:
    """Remove recordings from a collection; their files and their labels stay as they are.

    Args:
        paths: of recordings, or of folders of them, as the collection has them or as they are on the disk.
        gone: whether all recordings are removed that are not on the disk.

    Raises:
        ConfigError: a path is of no recording, not even of a removed one, or the root is not there; nothing is removed
            then.
        InUseError: another process changes the collection.
    """
    with changing(collection):
        known = list_recordings(collection)
        given = [os.fspath(path) for path in paths]
        wanted: dict[str, set[str]] = {}  # paths as they were given, by names in the collection
        for path in filter(None, given):  # pathlib takes an empty path for the present folder
            wanted.setdefault(collection.name_of(Path(path)), set()).add(path)
            if not path.startswith("."):  # which means a folder of the disk
                wanted.setdefault(str(PurePosixPath(path)), set()).add(path)
        chosen, met = _match(known, wanted)
        earlier, met_earlier = _match([path for path in list_removed(collection) if path not in known], wanted)
        if strangers := [path for path in given if not met[path] and not met_earlier[path]]:
            raise ConfigError(f"{collection.folder}: no recordings of {name_some(strangers)}; nothing was removed")
        if unclear := [path for path, names in met.items() if len(names) > 1]:
            raise ConfigError(
                f"{collection.folder}: {name_some(unclear)} may be below the root or below this folder; write ./ "
                "before it for this folder, or its whole path; nothing was removed"
            )
        if gone:
            chosen |= dict.fromkeys(_find_gone(collection, list(known)))
        labels = 0
        with collection.transaction():
            for name in chosen:
                labels += remove_recording(collection, known[name].id)
    return Removed(tuple(chosen), labels, tuple(earlier))


def _match(
    names: Iterable[str], wanted: Mapping[str, Iterable[str]]
) -> tuple[dict[str, None], defaultdict[str, set[str]]]:
    """Find the recordings that are wanted or lie in a wanted folder, and for each path that was given what it found.

    Args:
        names: of recordings.
        wanted: paths as they were given, by names in the collection.
    """
    chosen: dict[str, None] = {}
    met: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        for part in map(str, (PurePosixPath(name), *PurePosixPath(name).parents)):
            for path in wanted.get(part, ()):
                chosen[name] = None
                met[path].add(part)
    return chosen, met


def _find_gone(collection: CollectionFolder, names: Sequence[str]) -> list[str]:
    if not collection.root.is_dir():
        raise ConfigError(
            f"{collection.root} is not there, with all recordings: connect its disk, or relocate the collection; "
            "nothing was removed"
        )
    lost = on_all_cores(is_gone, collection.places_of(names))
    return [name for name, is_lost in zip(names, lost, strict=True) if is_lost]


@dataclass(frozen=True)
class Compacted:
    """Parts and their bytes before and after `compact`."""

    parts_before: int
    bytes_before: int
    parts: int
    bytes: int


def compact(collection: CollectionFolder) -> Compacted:
    """Rewrite parts without the windows of removed recordings, put small ones together, and delete the old ones.

    Raises:
        DamageError: a part is damaged; the others are as they were or rewritten.
        InUseError: another process changes the collection.
        WriteError: the disk is full or fails; the same call goes on.
    """
    with changing(collection):
        before = list_parts(collection)
        for entry in collection.encoders():
            rewrite_wasteful(collection, entry)
            renew_statistics(collection, entry)
        clear_unused(collection)
        after = list_parts(collection)
    return Compacted(len(before), sum(part.bytes for part in before), len(after), sum(part.bytes for part in after))


@dataclass(frozen=True)
class Relocated:
    """Count of recordings that `relocate` found below the new root, and paths of those that are missing or changed."""

    found: int
    missing: tuple[str, ...]


def relocate(collection: CollectionFolder, root: str | os.PathLike[str]) -> Relocated:
    """Say where the recordings of a collection lie now. They are looked for by path and size.

    Raises:
        ConfigError: no folder, or one without any of the recordings; nothing is changed then.
        InUseError: another process changes the collection.
    """
    new = Path(root).resolve()
    if not new.is_dir():
        raise ConfigError(f"{root}: no folder; expected the one that the recordings lie in")
    with changing(collection):
        known = list_recordings(collection)
        names = list(known)

        def is_there(name: str) -> bool:
            try:
                return find_named(new / PurePosixPath(name)).stat().st_size == known[name].origin.size_bytes
            except OSError:
                return False

        there = on_all_cores(is_there, names)
        if names and not any(there):
            raise ConfigError(
                f"{root}: none of the {len(names)} recordings is there, such as {names[0]}; the root stays "
                f"{collection.root}"
            )
        inside = [
            (Path(name).relative_to(readable_name(new)).as_posix(), known[name].id)
            for name in names
            if Path(name).is_absolute() and Path(name).is_relative_to(readable_name(new))
        ]
        with collection.transaction():
            collection.tables.execute("UPDATE settings SET value = ? WHERE name = 'root'", (readable_name(new),))
            collection.tables.executemany("UPDATE OR IGNORE recordings SET path = ? WHERE id = ?", inside)
    return Relocated(sum(there), tuple(name for name, is_found in zip(names, there, strict=True) if not is_found))

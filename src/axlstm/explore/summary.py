"""Describe a collection as the page shows it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import axlstm
from axlstm.collection.collection import Collection
from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.collection.labels.history import list_changes, mark_of_now
from axlstm.collection.labels.table import count_labels, default_author
from axlstm.collection.statistics import count_windows
from axlstm.errors import AxlstmError
from axlstm.explore.desk import Desk
from axlstm.explore.teaching import list_classifiers

_MOST_SITES = 200
_MOST_SKIPPED = 100


def summarise(desk: Desk, collection: Collection) -> dict[str, Any]:
    """Describe a collection, its map and its labels as JSON."""
    tables = collection.tables
    present = "FROM recordings WHERE removed_at IS NULL"
    recordings, seconds, dated = tables.execute(
        f"SELECT count(*), ifnull(sum(duration_s), 0), count(recorded_at) {present}"
    ).fetchone()
    entries = collection.encoders()
    shown = desk.entry(collection) if entries else None
    job = desk.jobs.latest
    return {
        "name": collection.folder.resolve().name,
        "folder": str(collection.folder.resolve()),
        "root": str(collection.root),
        "root_is_there": collection.root.is_dir(),
        "version": axlstm.__version__,
        "recordings": recordings,
        "seconds": seconds,
        "windows": count_windows(collection, shown) if shown is not None else 0,
        "encoders": [_describe_encoder(desk, collection, entry) for entry in entries],
        "encoder": None if shown is None else shown.name,
        "labels": [asdict(count) for count in count_labels(collection)],
        "skipped": _describe_skipped(collection),
        "sounds": desk.sounds is not None,
        "sites": _list_sites(collection),
        "has_times": bool(dated),
        "classifiers": list_classifiers(collection),
        "map": _describe_map(desk, collection),
        "table": desk.table_name,
        "job": None if job is None else job.describe(),
        "author": desk.author or default_author(),
        "mark": mark_of_now(collection),
    }


def _describe_encoder(desk: Desk, collection: CollectionFolder, entry: EncoderEntry) -> dict[str, Any]:
    why_not = desk.faults.get(entry.id) or _find_fault(entry)
    return {
        "name": entry.name,
        "source": entry.source,
        "dims": entry.size,
        "windows": count_windows(collection, entry),
        "window_s": entry.window_s,
        "hop_s": entry.hop_s,
        "available": why_not is None,
        "why_not": why_not,
    }


def _find_fault(entry: EncoderEntry) -> str | None:
    """Say why an encoder can surely not be loaded, without loading it; None if it may be there."""
    files = [Path(part) for part in entry.source.split("@") if Path(part).is_absolute()]
    gone = next((file for file in files if not file.exists()), None)
    return None if gone is None else f"{gone} is not there any more; put it back to search by sound"


def _describe_skipped(collection: CollectionFolder) -> dict[str, Any]:
    """Count what the latest indexing could not use, and say of some why."""
    (count,) = collection.tables.execute("SELECT count(*) FROM skipped").fetchone()
    rows = collection.tables.execute("SELECT path, reason FROM skipped ORDER BY path LIMIT ?", (_MOST_SKIPPED,))
    return {"count": count, "some": [_shorten(collection.root, row["path"], row["reason"]) for row in rows]}


def _shorten(root: Path, path: str, reason: str) -> dict[str, str]:
    """Name a file from the collection's folder on, and say why without naming it once more."""
    inside = Path(path).is_relative_to(root)
    return {
        "path": Path(path).relative_to(root).as_posix() if inside else path,
        "reason": reason.removeprefix(f"{path}: "),
    }


def _list_sites(collection: CollectionFolder) -> list[str]:
    rows = collection.tables.execute(
        "SELECT DISTINCT json_extract(metadata, '$.site') AS site FROM recordings WHERE removed_at IS NULL LIMIT ?",
        (_MOST_SITES,),
    )
    return sorted(str(row["site"]) for row in rows if row["site"] is not None)


def _describe_map(desk: Desk, collection: Collection) -> dict[str, Any]:
    job = desk.jobs.latest
    computing = job is not None and job.kind == "map" and job.state == "running"
    try:
        drawn = desk.map(collection)
    except AxlstmError as error:
        return {"state": "missing", "points": 0, "lacking": 0, "about": {}, "why_not": str(error)}
    points = 0 if drawn is None else len(drawn.places) - drawn.lacking
    lacking = 0 if drawn is None else drawn.lacking
    state = "missing" if not points else "outdated" if lacking else "ready"
    about = {} if drawn is None else dict(drawn.about)
    return {"state": "computing" if computing else state, "points": points, "lacking": lacking, "about": about}


def summarise_changes(desk: Desk, collection: Collection, since: str | None) -> dict[str, Any]:
    """Say what has changed since a mark: labels, the job, and whether the windows are others."""
    said, mark = ([], mark_of_now(collection)) if since is None else list_changes(collection, since)
    with suppress(AxlstmError):  # nothing is indexed yet
        desk.table(collection)
    job = desk.jobs.latest
    return {
        "mark": mark,
        "labels": [asdict(one) for one in said],
        "table": desk.table_name,
        "job": None if job is None else job.describe(),
    }

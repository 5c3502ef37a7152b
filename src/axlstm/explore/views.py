"""Give the windows of a collection as the page shows them: the map, rows, and what labels say of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from axlstm.collection.classifiers.examples import NO, UNSURE, YES, find_judged
from axlstm.collection.collection import Collection
from axlstm.collection.maps.columns import make_columns, pack_columns
from axlstm.collection.maps.kept import WindowMap, keep_map
from axlstm.collection.search.filters import window_time
from axlstm.collection.search.verdicts import find_verdicts
from axlstm.errors import ConfigError, DataError, WriteError
from axlstm.explore.desk import Desk, row_numbers
from axlstm.explore.jobs import Job, Reporter
from axlstm.explore.places import NoSuchError

BINARY = "application/octet-stream"
_log = logging.getLogger(__name__)
_WORDS = {YES: "yes", NO: "no", UNSURE: "unsure"}


def pack_map(desk: Desk, collection: Collection) -> bytes:
    """Return the map with its columns; see `axlstm.collection.maps.columns.pack_columns`.

    Raises:
        NoSuchError: there is none yet.
    """
    table, name, drawn = desk.shown(collection)
    if drawn is None:
        raise NoSuchError(f"{collection.folder} has no map of {table.entry.name} yet: draw it")
    header = {
        "n": len(table),
        "table": name,
        "encoder": table.entry.name,
        "window_s": table.entry.window_s,
        "about": dict(drawn.about),
    }
    packed = pack_columns(make_columns(collection, table, drawn), header)
    desk.warm_up()
    return packed


def start_map(desk: Desk) -> Job:
    """Begin to draw the map anew.

    Raises:
        InUseError: another job runs.
    """

    def draw(report: Reporter) -> dict[str, Any]:
        with desk.collection() as collection:
            return dict(show_new_map(desk, collection, report).about)

    return desk.jobs.start("map", "Drawing the map", draw)


def show_new_map(desk: Desk, collection: Collection, progress: Callable[[float], None] = lambda _: None) -> WindowMap:
    """Draw the map of the windows that are shown, and show it. If it cannot be kept, a warning says why."""
    from axlstm.collection.maps.draw import lay_out_windows

    table = desk.table(collection)
    drawn = lay_out_windows(table, progress)
    try:
        keep_map(collection.folder, table, drawn)
    except WriteError as error:
        _log.warning("the map is drawn again the next time: %s", error)
    desk.show_map(table, drawn)
    return drawn


def start_map_if_missing(desk: Desk) -> None:
    """Begin to draw the map if there is none, and windows to draw."""
    with desk.collection() as collection:
        try:
            is_missing = desk.map(collection) is None
        except (ConfigError, DataError):  # nothing is indexed yet
            return
    if is_missing:
        start_map(desk)


def describe_rows(desk: Desk, collection: Collection, rows: str, known: str | None) -> list[dict[str, Any]]:
    """Describe windows: their recording, time and site, and what labels say of them."""
    table = desk.table(collection, known)
    numbers = row_numbers(rows, table)
    verdicts = find_verdicts(collection, table, numbers)
    described = []
    for row in numbers:
        recording, (start_s, end_s) = int(table.recordings[table.span_of_row(row)]), table.bounds(row)
        facts = collection.tables.execute(
            "SELECT path, recorded_at, metadata FROM recordings WHERE id = ?", (recording,)
        ).fetchone()
        described.append(
            {
                "row": row,
                "recording": recording,
                "path": facts["path"],
                "start_s": start_s,
                "end_s": end_s,
                "time": window_time(facts["recorded_at"], start_s),
                "site": collection.metadata_of(facts["metadata"]).get("site"),
                "labels": [asdict(verdict) for verdict in verdicts[row]],
            }
        )
    return described


def list_labelled(desk: Desk, collection: Collection, label: str, known: str | None) -> list[dict[str, Any]]:
    """List the windows that a label says something about, with what it says."""
    judged = find_judged(collection, desk.table(collection, known), [label])
    return [
        {"row": row, "verdict": _WORDS[said]}
        for row, said in zip(judged.rows.tolist(), judged.said[:, 0].tolist(), strict=True)
        if said in _WORDS
    ]

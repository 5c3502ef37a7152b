"""List what was said: its history, and what is new since a moment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from axlstm.collection.folder import CollectionFolder
from axlstm.errors import ConfigError
from axlstm.options import Verdict

MOST_LISTED = 1000
_START = "0~"
_COLUMNS = (
    "labels.id, recording, path, start_s, end_s, low_hz, high_hz, label, verdict, author, source, at, undone_at "
    "FROM labels JOIN recordings ON recordings.id = recording WHERE removed_at IS NULL"
)


@dataclass(frozen=True)
class Said:
    """A label as it was given: by whom, how and when; and when it was taken back, if it was."""

    id: int
    recording: int
    path: str
    start_s: float
    end_s: float
    low_hz: float | None
    high_hz: float | None
    label: str
    verdict: Verdict
    author: str
    source: str
    at: str
    undone_at: str | None


def list_history(
    collection: CollectionFolder,
    *,
    label: str | None = None,
    recording: int | None = None,
    before: int | None = None,
    undone: bool = True,
    count: int = 100,
) -> list[Said]:
    """List labels of recordings that are present, the latest first.

    Args:
        before: list those with a lower number.
        undone: whether those that were taken back are listed too.

    Raises:
        ConfigError: a count out of range.
    """
    if not 1 <= count <= MOST_LISTED:
        raise ConfigError(f"{count} labels: expected 1 to {MOST_LISTED}")
    conditions = {"label = ?": label, "recording = ?": recording, "labels.id < ?": before}
    asked = {text: value for text, value in conditions.items() if value is not None}
    where = "".join(f" AND {text}" for text in asked) + ("" if undone else " AND undone_at IS NULL")
    query = f"SELECT {_COLUMNS}{where} ORDER BY labels.id DESC LIMIT ?"
    return [Said(*row) for row in collection.tables.execute(query, (*asked.values(), count))]


def list_changes(collection: CollectionFolder, since: str = _START) -> tuple[list[Said], str]:
    """List what was said or taken back since an earlier call, by any process, and return the mark of this moment.

    What happened in the millisecond of the earlier call may come again.

    Args:
        since: the mark of the earlier call.

    Raises:
        ConfigError: no such mark.
    """
    found = re.fullmatch(r"(\d{1,18})~([\d:.T+-]{0,40})", since)
    if found is None:
        raise ConfigError(f"since={since[:40]!r}: expected what an earlier answer gave as its mark")
    with collection.snapshot():
        query = f"SELECT {_COLUMNS} AND (labels.id > ? OR undone_at >= ?) ORDER BY labels.id"
        rows = collection.tables.execute(query, (int(found[1]), found[2])).fetchall()
        latest = collection.tables.execute("SELECT ifnull(max(id), 0), ifnull(max(undone_at), '') FROM labels")
        number, undone_at = latest.fetchone()
    return [Said(*row) for row in rows], f"{number}~{undone_at}"


def mark_of_now(collection: CollectionFolder) -> str:
    """Return the mark that `list_changes` goes on from."""
    latest = collection.tables.execute("SELECT ifnull(max(id), 0), ifnull(max(undone_at), '') FROM labels")
    return "{}~{}".format(*latest.fetchone())


def list_undone(collection: CollectionFolder, numbers: Iterable[int]) -> set[int]:
    """List which of some labels were taken back."""
    query = "SELECT id FROM labels WHERE undone_at IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
    return {row["id"] for row in collection.tables.execute(query, (json.dumps(list(numbers)),))}


def list_standing(collection: CollectionFolder, recording: int) -> list[Said]:
    """List what was said about a recording and not taken back, in the order in which it was said."""
    query = f"SELECT {_COLUMNS} AND recording = ? AND undone_at IS NULL ORDER BY labels.id"
    return [Said(*row) for row in collection.tables.execute(query, (recording,))]

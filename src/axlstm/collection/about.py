"""Describe a collection: what is in it, from where, and what is missing."""

from __future__ import annotations

from typing import Any

from axlstm.collection.changes import list_parts
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.table import count_labels
from axlstm.collection.statistics import count_windows
from axlstm.errors import name_some


def describe_collection(collection: CollectionFolder) -> dict[str, Any]:
    """Collect facts by name, in the order to show them."""
    tables = collection.tables

    def one(query: str, *values: object) -> Any:
        return tables.execute(query, values).fetchone()[0]

    present = "FROM recordings WHERE removed_at IS NULL"
    recordings = one(f"SELECT count(*) {present}")
    removed = one("SELECT count(*) FROM recordings WHERE removed_at IS NOT NULL")
    hours = one(f"SELECT ifnull(sum(duration_s), 0) / 3600 {present}")
    facts: dict[str, Any] = {
        "kind": "collection",
        "root": collection.root if collection.root.is_dir() else f"{collection.root} (not there)",
        "recordings": f"{recordings} of {hours:.1f} h" + (f", and {removed} removed" if removed else ""),
    }
    first, last = tables.execute(f"SELECT min(recorded_at), max(recorded_at) {present}").fetchone()
    if first:
        dated = one(f"SELECT count(*) {present} AND recorded_at IS NOT NULL")
        facts["recorded"] = f"{first[:10]} to {last[:10]} ({dated} recordings)"
    if places := one(f"SELECT count(*) {present} AND latitude IS NOT NULL"):
        facts["with a position"] = places
    columns = tables.execute("SELECT DISTINCT key FROM recordings, json_each(metadata) WHERE removed_at IS NULL")
    names = [row[0] for row in columns]
    if not all(isinstance(name, str) for name in names):
        raise collection.damage("metadata that are no objects")
    if names:
        facts["metadata"] = name_some(sorted(names), most=20)
    for entry in collection.encoders():
        parts = list_parts(collection, entry.id)
        windows, stored = count_windows(collection, entry), sum(part.rows for part in parts)
        lacking = recordings - one("SELECT count(*) FROM spans WHERE encoder = ?", entry.id)
        idle = f"{stored - windows} windows; axlstm collection compact removes them"
        facts[f"encoder {entry.name}"] = {
            "windows": f"{windows} of {entry.window_s:g} s, every {entry.hop_s:g} s",
            "without windows": f"{lacking} recordings" if lacking else "no recording",
            "vectors": f"{entry.size} float16",
            "parts": f"{len(parts)} of {sum(part.bytes for part in parts) / 1e6:.1f} MB",
            **({"not in use": idle} if stored > windows else {}),
            "made by": entry.source,
            "fingerprint": entry.fingerprint,
            **entry.options,
        }
    if labels := count_labels(collection):
        told = (f"{one.label} ({one.yes + one.no + one.unsure}, {one.yes} yes)" for one in labels)
        facts["labels"] = name_some(told, most=20)
    if skipped := list_skipped(collection):
        hint = "; axlstm collection info --skipped lists them" if len(skipped) > 1 else ""
        facts["skipped"] = f"{len(skipped)} by the last run, such as {skipped[0]}{hint}"
    return facts


def list_skipped(collection: CollectionFolder) -> list[str]:
    """List what the last run met and could not use, with the reasons."""
    rows = collection.tables.execute("SELECT path, reason FROM skipped ORDER BY path")
    return [reason if path in reason else f"{path}: {reason}" for path, reason in rows]

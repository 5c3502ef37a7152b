"""Search a collection for windows that sound like a query."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence

from axlstm.collection.folder import CollectionFolder, now
from axlstm.collection.search.filters import Filters, choose_windows, window_time
from axlstm.collection.search.hits import Hit, Hits
from axlstm.collection.search.query import Query, find_examples, make_directions
from axlstm.collection.search.searcher import Match, Searcher
from axlstm.collection.search.table import WindowTable
from axlstm.collection.search.thin import Spacing
from axlstm.collection.search.within import locate
from axlstm.errors import ConfigError, WriteError

MOST_HITS = 100_000
_log = logging.getLogger(__name__)


def search(
    searcher: Searcher,
    query: Query,
    *,
    count: int = 50,
    filters: Filters | None = None,
    spacing: Spacing | None = None,
    within: bool = False,
    exact: bool = False,
) -> Hits:
    """Find the windows that are most like a query, and note query and hits in the tables of the collection.

    Windows that overlap the query itself are no hits.

    Args:
        count: of hits, at most.
        exact: compare every window; without it, an approximate index is asked in large collections.
        within: find where in each hit the query's sound is, see `axlstm.collection.search.within.locate`.

    Raises:
        ConfigError: a count below 1, a column that no recording has, an encoder that is not there any more.
        AudioError, DataError: see `axlstm.collection.search.query.find_examples`.
    """
    if not 1 <= count <= MOST_HITS:
        raise ConfigError(f"{count} hits: expected 1 to {MOST_HITS}")
    filters, spacing = filters or Filters(), spacing or Spacing()
    searcher.refresh()
    collection, table = searcher.collection, searcher.table
    examples = find_examples(collection, table, query, searcher.embed)
    directions = make_directions(examples, query.combine)
    mask, notes = choose_windows(collection, table, filters)
    matches, is_exact = searcher.find(directions, count, spacing, mask, examples.places, exact)
    found = list(describe_matches(collection, table, matches))
    if within:
        found, not_located = locate(collection, searcher, examples.sounds, found)
        notes += not_located
    hits = Hits(
        hits=tuple(found),
        encoder=searcher.entry.name,
        query=query.describe() | filters.describe(),
        compared=len(table) if mask is None else int(mask.sum()),
        exact=is_exact,
        folder=collection.folder.absolute(),
        notes=(*examples.notes, *notes),
    )
    note_query(collection, searcher.entry.id, hits)
    return hits


def describe_matches(collection: CollectionFolder, table: WindowTable, matches: Sequence[Match]) -> Iterator[Hit]:
    found: dict[int, sqlite3.Row] = {}
    for match in matches:
        recording = int(table.recordings[table.span_of_row(match.row)])
        if recording not in found:
            found[recording] = collection.tables.execute(
                "SELECT path, recorded_at FROM recordings WHERE id = ?", (recording,)
            ).fetchone()
        row, (start_s, end_s) = found[recording], table.bounds(match.row)
        yield Hit(row["path"], start_s, end_s, match.score, recording, window_time(row["recorded_at"], start_s))


def note_query(collection: CollectionFolder, encoder: int, hits: Hits) -> None:
    """Enter a query and its hits in the tables; where they cannot be written, say so and go on."""
    found = [[hit.recording, hit.start_s, hit.end_s, round(hit.score, 6)] for hit in hits]
    try:
        with collection.transaction(flush=False):  # which would take longer than to search 10,000 windows
            collection.tables.execute(
                "INSERT INTO queries (encoder, query, hits, at) VALUES (?, ?, ?, ?)",
                (encoder, json.dumps(hits.query), json.dumps(found), now()),
            )
    except WriteError as error:
        _log.warning("the query is not noted in the collection: %s", error)

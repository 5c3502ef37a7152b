"""Measure the mean and the deviation of each dimension of an encoder's vectors, which search standardises with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder, EncoderEntry

_BLOCK_ROWS = 256  # which stay in the cache
_GROWTH = 1.1


def measure(collection: CollectionFolder, entry: EncoderEntry) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Measure all windows in use: their number, and mean and deviation ``(size,)``, 1 where it would be 0.

    Sums are in float64. Blocks are joined as by Chan, Golub and LeVeque (1983), so that a large mean costs no digits.
    """
    count, mean, squares = 0, np.zeros(entry.size), np.zeros(entry.size)
    for rows in collection.rows(entry):
        for begin in range(0, len(rows), _BLOCK_ROWS):
            half = rows.vectors[begin : begin + _BLOCK_ROWS]
            block = half.astype(np.float32).astype(np.float64)  # (n, size); in two steps it is faster
            own = block.mean(axis=0)
            block -= own
            total, distance = count + len(block), own - mean
            squares += np.einsum("ij,ij->j", block, block) + distance**2 * (count * len(block) / total)
            mean += distance * (len(block) / total)
            count = total
    deviation = np.sqrt(squares / max(count, 1))
    return count, mean, np.where(deviation > 0, deviation, 1.0)


def renew_statistics(collection: CollectionFolder, entry: EncoderEntry) -> None:
    """Measure again if the windows have grown by a tenth, or become fewer, since it was done at the end of a run.

    Raises:
        DamageError: a part cannot be read.
    """
    row = collection.tables.execute("SELECT statistics_rows FROM encoders WHERE id = ?", (entry.id,)).fetchone()
    known, rows = row["statistics_rows"], count_windows(collection, entry)
    if not known <= rows < _GROWTH * known:
        note_statistics(collection, entry, run_ends=True)


def note_statistics(collection: CollectionFolder, entry: EncoderEntry, *, run_ends: bool) -> None:
    """Measure, and enter the result. In the middle of a run it is for those who search meanwhile, and not kept."""
    count, mean, deviation = measure(collection, entry)
    values = (mean.tobytes(), deviation.tobytes()) if count else (None, None)
    with collection.transaction():
        collection.tables.execute(
            "UPDATE encoders SET mean = ?, deviation = ?, statistics_rows = ? WHERE id = ?",
            (*values, count if run_ends else 0, entry.id),
        )


def count_windows(collection: CollectionFolder, entry: EncoderEntry) -> int:
    """Count the windows in use."""
    row = collection.tables.execute("SELECT ifnull(sum(rows), 0) FROM spans WHERE encoder = ?", (entry.id,)).fetchone()
    return int(row[0])

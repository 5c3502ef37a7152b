"""Tables of LanceDB: what is read again is compared with what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from axlstm.store.lance import TABLE, write_table

SCHEMA = pa.schema([("vector", pa.list_(pa.float32(), 4))])


def batches(*blocks: np.ndarray) -> Iterator[pa.RecordBatch]:
    for block in blocks:
        flat = pa.array(block.astype(np.float32).reshape(-1))
        yield pa.record_batch([pa.FixedSizeListArray.from_arrays(flat, 4)], schema=SCHEMA)


class Database:
    """Holds what it is given, but for what a failed write did to it."""

    def __init__(self, damage: Any = lambda vectors: vectors) -> None:
        self.damage, self.tables = damage, dict[str, np.ndarray]()

    def create_table(self, name: str, reader: pa.RecordBatchReader) -> Any:
        vectors = np.concatenate([batch.column("vector").flatten().to_numpy() for batch in reader]).reshape(-1, 4)
        self.tables[name] = self.damage(vectors)
        query = SimpleNamespace(to_batches=lambda: batches(*np.array_split(self.tables[name], 2)))
        return SimpleNamespace(search=lambda: SimpleNamespace(select=lambda _: query))

    def drop_table(self, name: str) -> None:
        del self.tables[name]


def test_what_was_written_is_counted() -> None:
    database = Database()
    assert write_table(database, SCHEMA, batches(np.ones((3, 4)), np.zeros((2, 4)))) == 5
    assert list(database.tables) == [TABLE]


def _cannot_be_read(_: np.ndarray) -> np.ndarray:
    return np.zeros((5, 3))  # of another width


@pytest.mark.parametrize("damage", [lambda vectors: vectors[:-1], lambda vectors: vectors[::-1], _cannot_be_read])
def test_a_write_that_failed_without_a_word_is_told_and_its_table_removed(damage: Any) -> None:
    database = Database(damage)
    with pytest.raises(OSError, match="not read as they were written"):
        write_table(database, SCHEMA, batches(np.arange(20).reshape(5, 4)))
    assert database.tables == {}

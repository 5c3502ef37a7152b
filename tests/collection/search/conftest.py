"""A collection of made-up vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from axlstm.collection.collection import Collection
from tests.collection.vectors import fill, make_collection


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds") as made:
        fill(made, recordings=30)
        yield made

"""Search: against plain float64 NumPy, with filters, spacing, damaged caches and hostile queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.collection import Collection
from axlstm.collection.search.query import Query
from axlstm.collection.search.run import search
from axlstm.collection.search.searcher import Searcher
from axlstm.collection.search.thin import Spacing
from tests.collection.slow_search import slow_search
from tests.collection.vectors import fill, make_collection


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds") as made:
        fill(made, recordings=30)
        yield made


def searcher(collection: Collection) -> Searcher:
    return Searcher(collection, collection.encoder())


def places(hits: object) -> list[tuple[str, float]]:
    return [(hit.path, hit.start_s) for hit in hits]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spacing", [Spacing(), Spacing(apart_s=0), Spacing(apart_s=2.5), Spacing(one_per_recording=True)]
)
@pytest.mark.parametrize("combine", ["mean", "max"])
@pytest.mark.parametrize("unlike", [(), ("site1/004.wav",)])
def test_hits_are_those_of_the_slow_twin(
    collection: Collection, spacing: Spacing, combine: str, unlike: tuple[str, ...]
) -> None:
    query = Query(like=("site0/000.wav", "site2/005.wav@0-2"), unlike=unlike, combine=combine)  # type: ignore[arg-type]
    hits = search(searcher(collection), query, count=15, spacing=spacing)
    expected = slow_search(collection, query, 15, spacing)
    assert places(hits) == [(path, start_s) for path, start_s, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, _, score in expected], atol=1e-9)

"""Comparing with every window: products in float16 bound the cosines, and the hits are those of the slow twin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.collection import Collection
from axlstm.collection.search import searcher
from axlstm.collection.search.query import Query
from axlstm.collection.search.scan import Directions, bound_all, score_rows
from axlstm.collection.search.thin import Spacing
from tests.collection.search.slow_search import slow_search
from tests.collection.vectors import add_part, add_recording, make_collection

SIZE = 24
SPACINGS = [Spacing(), Spacing(apart_s=0), Spacing(apart_s=7), Spacing(one_per_recording=True)]


@pytest.fixture(params=[(0.0, 1.0), (40.0, 0.5), (0.0, 1e-3)], ids=["centred", "far from zero", "tiny"])
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Collection]:
    """5,000 windows; those in a pair of recordings are nearly alike."""
    mean, deviation = request.param
    rng = np.random.default_rng(3)
    with make_collection(tmp_path / "c", tmp_path / "s", size=SIZE) as made:
        for part in range(5):
            vectors: dict[int, np.ndarray] = {}
            base = rng.normal(size=(200, SIZE))
            for number in range(5):
                recording = add_recording(made, f"{part}/{number}.wav", 201.0)
                vectors[recording] = mean + deviation * (base + 0.02 * number * rng.normal(size=(200, SIZE)))
            add_part(made, made.encoder(), vectors, unused=part)
        yield made


def unit_rows(collection: Collection) -> tuple[np.ndarray, np.ndarray]:
    table = collection.searcher().table
    standard = table.statistics.standardise(table.take_vectors(np.arange(len(table))))
    return standard, standard / np.linalg.norm(standard, axis=1, keepdims=True)


def test_no_cosine_is_above_its_bound_and_bounds_are_close(collection: Collection) -> None:
    standard, units = unit_rows(collection)
    searching = collection.searcher()
    for row in range(0, 5000, 500):
        bounds = bound_all(searching.table, searching.norms, units[row])
        assert bounds is not None
        above = bounds - standard @ units[row] / np.linalg.norm(standard, axis=1)
        assert above.min() > 0
        assert above.max() < (0.1 if abs(searching.table.statistics.mean).max() > 10 else 0.003)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_hits_are_those_of_the_slow_twin(
    collection: Collection, spacing: Spacing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "score_all", None)  # nothing but bounds is asked
    monkeypatch.setattr(searcher, "_MOST_PROPOSED", 1.0)
    query = Query(("1/0.wav@20-22",))
    options = {"one_per_recording": spacing.one_per_recording, "apart_s": spacing.apart_s}
    hits = collection.search(query.like[0], count=15, exact=True, **options)
    expected = slow_search(collection, query, 15, spacing)
    np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in expected], atol=1e-6)
    if collection.searcher().table.statistics.deviation.min() > 0.01:  # else some scores are equal
        assert [(hit.path, hit.start_s) for hit in hits] == [(path, start_s) for path, start_s, _ in expected]


def test_bounds_that_cannot_tell_leave_it_to_the_scores(collection: Collection) -> None:
    """Where more rows than a share of all would have to be compared again, all are scored."""
    hits = collection.search("1/0.wav@20-22", count=2000, exact=True, apart_s=0)
    expected = slow_search(collection, Query(("1/0.wav@20-22",)), 2000, Spacing(apart_s=0))
    np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in expected], atol=1e-6)


def test_products_beyond_float16_are_not_believed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = 0.01 * rng.normal(size=(8000, SIZE))
    vectors[10] = 60_000 * rng.choice([-1, 1], size=SIZE)
    with make_collection(tmp_path / "c", tmp_path / "s", size=SIZE) as made:
        recording = add_recording(made, "loud.wav", 8001.0)
        add_part(made, made.encoder(), {recording: vectors}, unused=0)
        searching = made.searcher()
        _, units = unit_rows(made)
        assert bound_all(searching.table, searching.norms, units[10]) is None
        hits = made.search("loud.wav@10-12", count=5, exact=True)
        expected = slow_search(made, Query(("loud.wav@10-12",)), 5, Spacing())
        np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in expected], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 4e-6, 1e-5, 3e4])
def test_values_at_the_ends_of_float16_have_bounds_too(scale: float, tmp_path: Path) -> None:
    """Values below 6e-5 have fewer digits in float16, and products of them too."""
    rng = np.random.default_rng(4)
    base = rng.normal(size=(12, SIZE))[rng.integers(12, size=6000)] + 0.05 * rng.normal(size=(6000, SIZE))
    with make_collection(tmp_path / "c", tmp_path / "s", size=SIZE) as made:
        recording = add_recording(made, "made.wav", 6001.0)
        add_part(made, made.encoder(), {recording: scale * np.clip(base, -2, 2)}, unused=0)
        searching = made.searcher()
        standard, units = unit_rows(made)
        for row in range(0, 6000, 1000):
            bounds = bound_all(searching.table, searching.norms, units[row])
            assert bounds is not None
            assert (bounds - standard @ units[row] / np.linalg.norm(standard, axis=1)).min() > 0
        hits = made.search("made.wav@10-12", count=20, exact=True, apart_s=0)
        expected = slow_search(made, Query(("made.wav@10-12",)), 20, Spacing(apart_s=0))
        np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in expected], atol=1e-9)


def test_scores_in_float32_settle_what_filters_let_through(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several directions and filters go by scores in float32, and what these may be wrong by."""
    monkeypatch.setattr(searcher, "choose_best", None)  # nothing but bounds is asked
    monkeypatch.setattr(searcher, "_MOST_PROPOSED", 1.0)
    query = Query(("1/0.wav@20-22", "2/0.wav@4-6"), ("3/1.wav@9-11",), combine="max")
    hits = collection.search(query.like, unlike=query.unlike, combine="max", count=30, exact=True)
    expected = slow_search(collection, query, 30, Spacing())
    np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in expected], atol=1e-9)


def test_a_window_without_a_direction_is_never_proposed(collection: Collection) -> None:
    searching = collection.searcher()
    searching.norms[0][7] = 0.0
    searching.norms[0][8] = np.nan
    direction = unit_rows(collection)[1][7]
    bounds = bound_all(searching.table, searching.norms, direction)
    assert bounds is not None
    assert (bounds[[7, 8]] == -np.inf).all()
    scores = score_rows(searching.table, np.arange(20), Directions(direction[None], direction[:0].reshape(0, SIZE), 0))
    assert (bounds[[6, 9]] > scores[[6, 9]]).all()

"""Suggestions are windows that nothing is said about, none near another, chosen as their way says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from axlstm.collection.classifiers.suggest import choose_rows, order_rows
from axlstm.collection.collection import Collection
from axlstm.collection.search.table import WindowTable
from axlstm.collection.search.thin import Spacing
from axlstm.errors import ConfigError, DataError
from axlstm.options import SuggestBy
from tests.collection.classifiers.made import label_birds, make_birds

WAYS = get_args(SuggestBy)


@pytest.fixture
def birds(tmp_path: Path) -> Iterator[Collection]:
    with make_birds(tmp_path) as made:
        label_birds(made, 8)
        yield made


@pytest.mark.parametrize("by", WAYS)
def test_windows_are_new_and_apart_and_the_same_again(birds: Collection, by: SuggestBy) -> None:
    birds.label("20.wav", "wren", 2, 4, verdict="unsure")
    hits = birds.suggest("wren", by=by, count=12, seed=2)
    assert len(hits) == 12
    assert all(hit.recording > 8 for hit in hits)
    assert not any(hit.recording == 21 and hit.start_s < 4 and hit.end_s > 2 for hit in hits)
    stretches = [(hit.recording, hit.start_s, hit.end_s) for hit in hits]
    for number, (recording, start_s, end_s) in enumerate(stretches):
        others = stretches[:number] + stretches[number + 1 :]
        assert not any(other == recording and begin < end_s and end > start_s for other, begin, end in others)
    assert [hit.start_s for hit in birds.suggest("wren", by=by, count=12, seed=2)] == [hit.start_s for hit in hits]
    assert 0 <= min(hit.score for hit in hits) <= max(hit.score for hit in hits) <= 1


def test_the_margin_is_nearest_to_one_half(birds: Collection) -> None:
    hits = birds.suggest("wren", count=5)
    every = birds.suggest("wren", by="random", count=1000, apart_s=0)
    assert len(every) == every.compared == 160
    nearest = sorted(abs(hit.score - 0.5) for hit in every)
    assert abs(hits[0].score - 0.5) == nearest[0]


def test_quantiles_are_drawn_from_all_over(birds: Collection) -> None:
    scores = sorted(hit.score for hit in birds.suggest("wren", by="random", count=1000, apart_s=0))
    hits = birds.suggest("wren", by="quantile", count=16, apart_s=0)
    assert hits[0].score == scores[-1]
    in_upper_tenth = [hit for hit in hits if hit.score >= np.quantile(scores, 0.9)]
    in_lower_half = [hit for hit in hits if hit.score < np.median(scores)]
    assert len(in_upper_tenth) > 5
    assert in_lower_half


def test_the_bins_are_halves_from_the_bottom() -> None:
    probabilities = np.linspace(0, 1, 64)
    first = np.argsort(-order_rows(probabilities, "quantile", np.random.default_rng(0)), kind="stable")[:7]
    bounds = [(63, 63), (62, 62), (60, 61), (56, 59), (48, 55), (32, 47), (0, 31)]
    assert [low <= row <= high for row, (low, high) in zip(first.tolist(), bounds, strict=True)] == [True] * 7


def test_diverse_windows_are_less_alike_than_uncertain_ones(birds: Collection) -> None:
    table = WindowTable(birds, birds.encoder())
    probabilities = np.full(len(table), 0.5)
    vectors = table.statistics.standardise(table.take_vectors(np.arange(len(table))))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def nearest(by: SuggestBy) -> float:
        rows = choose_rows(table, probabilities, by, 10, np.array([0, 3]), Spacing(apart_s=0))
        cosines = units[rows] @ units[rows].T - 2 * np.eye(10)
        return float(cosines.max(axis=1).mean())

    assert nearest("diversity") < nearest("random")


def test_probabilities_far_from_one_half_are_still_in_order() -> None:
    probabilities = np.array([1e-9, 1e-7, np.nan, 1e-12])
    order = order_rows(probabilities, "margin", np.random.default_rng(0))
    assert np.argsort(-order).tolist()[:3] == [1, 0, 3]
    assert order[2] == -np.inf


def test_a_classifier_is_taken_as_it_is(birds: Collection, tmp_path: Path) -> None:
    classifier = birds.train(["wren", "robin"], tmp_path / "birds.model")
    table = WindowTable(birds, birds.encoder())
    for given in (classifier, tmp_path / "birds.model"):
        hit = birds.suggest("robin", given, count=1)[0]
        row = int(table.starts[table.spans_of(hit.recording)[0]] + hit.start_s)
        assert hit.score == pytest.approx(classifier.probabilities(table.take_vectors(np.array([row])))[0, 1])
    with pytest.raises(ConfigError, match="label 'owl': not one of the classifier's, which are wren, robin"):
        birds.suggest("owl", classifier)


def test_a_collection_without_the_label_is_asked_by_a_classifier(birds: Collection, tmp_path: Path) -> None:
    classifier = birds.train("wren")
    with make_birds(tmp_path / "other", recordings=3, seed=5) as others:
        assert len(others.suggest("wren", classifier, count=4)) == 4
        with pytest.raises(DataError, match="no label 'wren'"):
            others.suggest("wren", count=4)


def test_where_nothing_is_a_no_unlabelled_windows_stand_in(birds: Collection) -> None:
    birds.label("00.wav", "owl", 6, 8)
    hits = birds.suggest("owl", count=3)
    assert len(hits) == 3
    assert "no window is a no for owl: 100 unlabelled ones stand in" in hits.notes
    birds.label("00.wav", "lark", 6, 8, verdict="no")
    with pytest.raises(DataError, match="label 'lark': no window is a yes.*axlstm search"):  # noqa: RUF043
        birds.suggest("lark")


def test_filters_and_one_per_recording(birds: Collection) -> None:
    hits = birds.suggest("wren", count=50, where="site=s1", one_per_recording=True)
    assert sorted(hit.path for hit in hits) == ["09.wav", "13.wav", "17.wav", "21.wav"]
    noted = birds.tables.execute("SELECT query FROM queries ORDER BY id DESC LIMIT 1").fetchone()["query"]
    assert '"suggest": "wren"' in noted


@pytest.mark.parametrize("wrong", [{"count": 0}, {"by": "best"}])
def test_what_cannot_be_asked_is_told(birds: Collection, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected"):
        birds.suggest("wren", **wrong)

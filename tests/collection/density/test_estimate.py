"""Densities of made-up windows, of which all is known: intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from axlstm.collection.density.bins import draw_rows, find_bins, find_edges
from axlstm.collection.density.estimate import Density, estimate_density, estimate_shares
from axlstm.errors import DataError

TRIALS = 400


def study(
    is_call: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.int64], per_bin: int, seed: int
) -> list[Density]:
    """Draw windows, judge them as they are, and estimate the density of all and of each group."""
    edges = find_edges(scores, 8, per_bin)
    bins = find_bins(scores, edges)
    drawn = draw_rows(bins, per_bin, seed)
    shape = int(groups.max()) + 1, len(edges) + 1
    windows, judged, heard = (np.zeros(shape, np.int64) for _ in range(3))
    np.add.at(windows, (groups, bins), 1)
    np.add.at(judged, (groups[drawn], bins[drawn]), 1)
    np.add.at(heard, (groups[drawn], bins[drawn]), is_call[drawn])
    shares = estimate_shares(judged.sum(axis=0), heard.sum(axis=0))
    whole = estimate_density(windows.sum(axis=0), judged.sum(axis=0), heard.sum(axis=0), shares)
    return [whole, *(estimate_density(*own, shares=shares) for own in zip(windows, judged, heard, strict=True))]


def holds(found: Density, is_call: NDArray[np.bool_]) -> bool:
    return found.low - 1e-12 <= is_call.mean() <= found.high + 1e-12


@pytest.mark.parametrize("density", [0.002, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("distance", [1.0, 2.5])
def test_intervals_hold_the_density_in_95_of_100_studies(density: float, distance: float) -> None:
    """Calls score ``distance`` deviations above the rest. Two groups differ in nothing; a third has few windows."""
    rng = np.random.default_rng(round(1000 * density + distance))
    held, errors = [], []
    for seed in range(TRIALS):
        is_call = rng.random(6000) < density
        scores = rng.normal(size=6000) + distance * is_call
        groups = rng.choice(3, size=6000, p=[0.5, 0.45, 0.05])
        found = study(is_call, scores, groups, 25, seed)
        held.append([holds(found[0], is_call), *(holds(found[1 + g], is_call[groups == g]) for g in range(3))])
        errors.append(found[0].density - is_call.mean())
    shares = np.mean(held, axis=0)  # of all windows, and of the groups; of few calls in few windows it is nearly 1
    assert 0.9 < shares[0] < 0.99
    assert shares[1:].min() > 0.9
    assert np.mean(errors) == pytest.approx(0, abs=4 * np.std(errors) / np.sqrt(TRIALS))  # it is not biased


def test_groups_of_other_densities_are_drawn_to_the_mean_and_that_is_told() -> None:
    """In one group a tenth of the windows have a call, in the other half of them: the shares of bins are not theirs."""
    rng = np.random.default_rng(0)
    told, errors = [], []
    for seed in range(60):
        groups = np.repeat([0, 1], 3000)
        is_call = rng.random(6000) < np.where(groups == 0, 0.1, 0.5)
        found = study(is_call, rng.normal(size=6000) + is_call, groups, 50, seed)
        errors.append([found[1].density - 0.1, found[2].density - 0.5])
        told.append(found[1].is_surprising or found[2].is_surprising)
        assert not found[0].is_surprising
    above, below = np.mean(errors, axis=0)
    assert above > 0.05
    assert below < -0.05
    assert np.mean(told) > 0.9


def test_windows_that_are_all_judged_leave_nothing_to_chance() -> None:
    is_call = np.arange(20) % 4 == 0
    found = study(is_call, np.arange(20.0), np.zeros(20, np.int64), 20, 0)[0]
    assert (found.density, found.low, found.high, found.judged, found.heard) == (0.25, 0.25, 0.25, 20, 5)


def test_no_call_among_the_judged_ones_is_no_proof_that_there_is_none() -> None:
    found = study(np.zeros(1000, bool), np.arange(1000.0), np.zeros(1000, np.int64), 25, 0)[0]
    assert (found.density, found.low) == (0, 0)
    assert 0.02 < found.high < 0.15


def test_a_bin_without_a_judged_window_is_told() -> None:
    with pytest.raises(DataError, match="no window of bin 2 is judged yet"):
        estimate_shares(np.array([3, 0]), np.array([0, 0]))


def test_bins_halve_the_windows() -> None:
    scores = np.random.default_rng(0).permutation(1600) / 1600
    bins = find_bins(scores, find_edges(scores, 5, 25))
    assert np.bincount(bins).tolist() == [800, 400, 200, 100, 100]
    assert scores[bins == 4].min() > scores[bins == 3].max()
    assert len(find_edges(scores, 20, 25)) + 1 == 7  # the last of 7 bins has 25 windows


@settings(deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]) | st.floats(0, 1), min_size=1, max_size=300),
    bins=st.integers(2, 10),
    per_bin=st.integers(2, 30),
    seed=st.integers(0, 3),
)
def test_every_bin_has_windows_and_enough_of_them_are_drawn(
    scores: list[float], bins: int, per_bin: int, seed: int
) -> None:
    values = np.array(scores)
    edges = find_edges(values, bins, per_bin)
    numbers = find_bins(values, edges)
    counts = np.bincount(numbers, minlength=len(edges) + 1)
    assert counts.min() > 0
    assert len(counts) <= bins
    drawn = draw_rows(numbers, per_bin, seed)
    assert len(np.unique(drawn)) == len(drawn)
    assert np.bincount(numbers[drawn], minlength=len(counts)).tolist() == np.minimum(counts, per_bin).tolist()
    np.testing.assert_array_equal(drawn, draw_rows(numbers, per_bin, seed))

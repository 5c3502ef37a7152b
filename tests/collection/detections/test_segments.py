"""Windows become segments as the definition says, however they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axlstm.collection.detections.segments import Rule, Segment, Segmenter, make_rule
from axlstm.errors import ConfigError
from tests.collection.detections.slow_segments import Window, find_segments

LEVELS = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]  # that float32 has, but for one


def segments_of(windows: list[Window], rule: Rule, blocks: list[int] = []) -> list[Segment]:  # noqa: B006
    """Find segments, the windows cut into blocks at some places."""
    starts, ends, chances = (
        np.array([window[place] for window in windows], dtype) for place, dtype in enumerate((float, float, np.float32))
    )
    segmenter = Segmenter(rule)
    found = []
    for own in np.split(np.arange(len(windows)), sorted(blocks)):
        found += segmenter.add(starts[own], ends[own], chances[own])
    return sorted(found + segmenter.finish())


def windows_at(hop_s: float, chances: list[float]) -> list[Window]:
    """Windows of 4 s with the probability of one label."""
    return [(index * hop_s, index * hop_s + 4.0, [chance]) for index, chance in enumerate(chances)]


@st.composite
def recordings(draw: st.DrawFn) -> list[Window]:
    labels, count = draw(st.integers(1, 3)), draw(st.integers(1, 30))
    hop_s, window_s = draw(st.sampled_from([(1.0, 1.0), (0.5, 1.0), (0.25, 1.0), (0.75, 1.0)]))
    last_s = draw(st.sampled_from([0.25, 0.5, 1.0]))  # the last window ends with the recording
    chance = st.lists(st.sampled_from(LEVELS), min_size=labels, max_size=labels)
    lengths = [window_s] * (count - 1) + [last_s if count == 1 or last_s > window_s - hop_s else window_s]
    return [(index * hop_s, index * hop_s + length, draw(chance)) for index, length in enumerate(lengths)]


@settings(deadline=None)
@given(
    windows=recordings(),
    high=st.sampled_from([0.3, 0.5, 0.75, 1.0]),
    share=st.sampled_from([0.3, 0.5, 1.0]),
    gap_s=st.sampled_from([0.0, 0.25, 0.5, 2.0]),
    blocks=st.lists(st.integers(0, 30)),
)
def test_segments_are_those_of_the_definition(
    windows: list[Window], high: float, share: float, gap_s: float, blocks: list[int]
) -> None:
    labels = len(windows[0][2])
    rule = Rule(np.full(labels, high, np.float32), np.full(labels, high * share, np.float32), gap_s)
    expected = [segment._replace(score=float(np.float32(segment.score))) for segment in find_segments(windows, rule)]
    assert segments_of(windows, rule, blocks) == expected


def test_a_segment_begins_above_the_high_threshold_and_goes_on_down_to_the_low_one() -> None:
    rule = make_rule([0.8])
    found = segments_of(windows_at(2.0, [0.1, 0.5, 0.9, 0.5, 0.1, 0.1, 0.5]), rule)
    assert found == [Segment(2.0, 10.0, 0, pytest.approx(0.9))]


def test_a_window_at_its_threshold_is_found_though_probabilities_are_rounded() -> None:
    threshold = 0.7341234567
    assert len(segments_of(windows_at(4.0, [threshold]), make_rule([threshold]))) == 1


def test_segments_that_are_near_become_one_on_request() -> None:
    windows = windows_at(4.0, [0.9, 0.0, 0.9, 0.0, 0.0, 0.9])
    assert [one[:2] for one in segments_of(windows, make_rule([0.8]))] == [(0, 4), (8, 12), (20, 24)]
    assert [one[:2] for one in segments_of(windows, make_rule([0.8], gap_s=4.0))] == [(0, 12), (20, 24)]


def test_gaps_are_compared_as_they_are_written() -> None:
    windows: list[Window] = [(3.1, 4.1, [0.9]), (4.2, 5.2, [0.9]), (5.31, 6.31, [0.9])]
    rule = make_rule([0.8], gap_s=0.1)
    expected = [Segment(3.1, 5.2, 0, pytest.approx(0.9)), Segment(5.31, 6.31, 0, pytest.approx(0.9))]
    assert segments_of(windows, rule) == segments_of(windows, rule, [1, 2]) == expected
    assert find_segments(windows, rule) == expected


def test_windows_that_touch_but_for_rounding_are_one() -> None:
    windows: list[Window] = [(0.0, 0.1, [0.9]), (0.1, 0.3 - 0.1, [0.9]), (0.2, 0.3, [0.9])]
    assert windows[1][1] < windows[2][0]
    for found in (segments_of(windows, make_rule([0.8])), segments_of(windows, make_rule([0.8]), [1, 2])):
        assert found == [Segment(0.0, 0.3, 0, pytest.approx(0.9))]
    assert find_segments(windows, make_rule([0.8])) == [Segment(0.0, 0.3, 0, 0.9)]


def test_a_segment_is_given_as_soon_as_nothing_can_join_it() -> None:
    segmenter = Segmenter(make_rule([0.8]))
    given_at = {}
    for start_s, end_s, chances in windows_at(2.0, [0.9, 0.1, 0.1, 0.1]):
        for segment in segmenter.add(np.array([start_s]), np.array([end_s]), np.array([chances], np.float32)):
            given_at[segment] = start_s
    assert list(given_at.values()) == [6.0]  # the window that begins at 4 s could still touch one that ends there
    assert segmenter.finish() == []


def test_a_threshold_for_all_labels() -> None:
    rule = make_rule([0.9, 0.2], threshold=0.5, low=0.4)
    assert rule.high.tolist() == [0.5, 0.5]
    assert rule.low.tolist() == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"threshold": 0.0}, "threshold=0: expected a probability"),
        ({"threshold": 1.5}, "threshold=1.5"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"low": -0.1}, "low=-0.1"),
        ({"low": 0.6}, "low=0.6: above a threshold, 0.5"),
        ({"gap_s": -1.0}, "gap_s=-1"),
        ({"gap_s": float("inf")}, "gap_s=inf"),
    ],
)
def test_impossible_thresholds_are_refused(options: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_rule([0.5, 0.9], **options)

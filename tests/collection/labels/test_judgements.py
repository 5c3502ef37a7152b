"""What labels say about windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axlstm.collection.labels.judgements import Statement, in_force, judge_windows, windows_of_stretch
from axlstm.embed.windows import Windows

START = np.arange(0.0, 10.0)
END = START + 2


def judged(*statements: tuple[float, float, str]) -> str:
    """A letter for each window of 2 s at 0, 1, ..., 9 s: y, n, u, and - for nothing."""
    found = judge_windows(START, END, [Statement(*one) for one in statements])  # type: ignore[arg-type]
    letters = np.full(len(START), "-")
    for verdict, windows in found.items():
        assert (letters[windows] == "-").all()
        letters[windows] = verdict[0]
    return "".join(letters)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([(2, 4, "yes")], "--y-------"),  # a window itself, and not its neighbours
        ([(2, 5, "yes")], "--yy------"),
        ([(2.9, 3.1, "yes")], "--y-------"),  # at 2 s whole, at 1 s half
        ([(3, 3.2, "unsure")], "--uu------"),
        ([(2.5, 3.5, "yes")], "--y-------"),
        ([(0, 11, "yes")], "yyyyyyyyyy"),
        ([(2, 4, "no")], "--n-------"),
        ([(2, 3.9, "no")], "----------"),  # a no must cover the window
        ([(2, 3, "no"), (3, 4, "no")], "--n-------"),
        ([(0, 11, "no"), (2.5, 3.5, "yes")], "nnynnnnnnn"),
        ([(2.5, 3.5, "yes"), (0, 11, "no")], "nnnnnnnnnn"),  # the later no holds inside its stretch
        ([(2.5, 3.5, "yes"), (2, 3, "no")], "--y-------"),
        ([(2, 4, "yes"), (2, 4, "no")], "--n-------"),
        ([(2, 4, "no"), (2.004, 3.996, "yes")], "--y-------"),  # the same stretch, rounded
        ([(2, 4, "yes"), (2, 4, "unsure")], "--u-------"),
        ([(2, 4, "unsure"), (2.2, 3.8, "yes")], "--y-------"),
        ([], "----------"),
    ],
)
def test_rules(statements: list[tuple[float, float, str]], expected: str) -> None:
    assert judged(*statements) == expected


@given(
    window_s=st.sampled_from([0.5, 1.0, 2.5, 5.0]),
    share=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    duration_s=st.floats(0.3, 30),
    begin=st.floats(0, 0.99),
    length=st.floats(0.01, 1),
)
def test_every_label_counts_for_a_window_that_it_overlaps(
    window_s: float, share: float, duration_s: float, begin: float, length: float
) -> None:
    windows = Windows(window_s, max(0.2, window_s * share))
    assert windows.hop_s is not None
    count = 1 + max(0, int(np.ceil((duration_s - window_s) / windows.hop_s)))
    start_s = np.arange(count) * windows.hop_s
    end_s = np.minimum(start_s + window_s, duration_s)
    end_s[-1] = duration_s
    begin_s = begin * duration_s
    stop_s = min(duration_s, begin_s + 0.01 + length * duration_s)
    found = windows_of_stretch(start_s, end_s, begin_s, stop_s)
    assert len(found)
    assert (np.minimum(end_s[found], stop_s) > np.maximum(start_s[found], begin_s)).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(1, 4), st.sampled_from(["yes", "no", "unsure"])),
        min_size=0,
        max_size=12,
    )
)
def test_what_is_in_force_is_as_the_rule_reads(rows: list[tuple[int, int, str]]) -> None:
    statements = [Statement(float(start), float(start + length), verdict) for start, length, verdict in rows]  # type: ignore[arg-type]
    expected = []
    for index, (start_s, end_s, verdict) in enumerate(statements):
        replaced = any(
            (later.start_s, later.end_s) == (start_s, end_s)
            or (later.verdict == "no" and later.start_s <= start_s and end_s <= later.end_s)
            for later in statements[index + 1 :]
        )
        expected += [] if replaced else [Statement(start_s, end_s, verdict)]
    assert in_force(statements) == expected

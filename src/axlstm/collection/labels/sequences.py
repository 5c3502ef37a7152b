"""Place labels whose times run through several recordings, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from axlstm.collection.labels.marks import Mark
from axlstm.errors import DataError

_SLACK_S = 0.05

Placed = tuple[Mark, int]
"""A mark, and the number of its recording."""


def place_in_sequence(mark: Mark, sequence: Sequence[int], durations_s: Mapping[int, float]) -> Placed:
    """Find the recording of a mark whose times run through a sequence, and its times in that.

    Raises:
        ValueError: it lies behind the sequence, or in two recordings.
    """
    if len(sequence) == 1 or mark.start_s is None or mark.end_s is None:
        return mark, sequence[0]
    begin_s = 0.0
    for number in sequence:
        end_s = begin_s + durations_s[number]
        if mark.start_s < end_s:
            if mark.end_s > end_s + _SLACK_S:
                raise ValueError(
                    f"{mark.start_s:g} to {mark.end_s:g} s: runs over the end of a recording, which is at {end_s:g} s"
                )
            return replace(mark, start_s=max(0.0, mark.start_s - begin_s), end_s=mark.end_s - begin_s), number
        begin_s = end_s
    raise ValueError(f"{mark.start_s:g} s: behind the end of the recordings, which is at {begin_s:g} s")


def place_named(placed: Sequence[Placed], durations_s: Mapping[int, float], order: Sequence[int]) -> list[Placed]:
    """Decide whether times count in each recording that is named, or run through all of them.

    A table of Raven without offsets leaves it open. What fits the lengths of the recordings is taken, if that is one of
    the two.

    Args:
        placed: with the recordings that the file names.
        order: of all recordings, by their paths, as Raven opens a folder.

    Raises:
        DataError: both fit, or neither.
    """
    named = {number for _, number in placed}
    if len(named) < 2:
        return list(placed)
    sequence = [number for number in order if number in named]
    fits_each = all(mark.end_s is not None and mark.end_s <= durations_s[number] + _SLACK_S for mark, number in placed)
    through: list[Placed] = []
    try:
        through = [place_in_sequence(mark, sequence, durations_s) for mark, _ in placed]
        fits_through = [number for _, number in through] == [number for _, number in placed]
    except ValueError:
        fits_through = False
    if fits_each == fits_through:
        why = "both fit" if fits_each else "neither fits"
        raise DataError(
            "it has no File Offset (s), and its times may count in each recording or run through all of them "
            f"({why}): save it from Raven with the column File Offset (s), or say with --recordings which recordings "
            "they run through, in order"
        )
    return list(placed) if fits_each else through

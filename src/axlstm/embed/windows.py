"""Pool the frames of a recording to one embedding for each of its windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from axlstm.embed.batching import FrameBlock
from axlstm.embed.window_lengths import Windows
from axlstm.errors import ConfigError
from axlstm.model.layouts import Layout, TimeLayout
from axlstm.model.pooling import AnyPooling, pool


@dataclass(frozen=True)
class WindowBlock:
    """Consecutive windows of a recording, which lasts ``duration_s`` seconds.

    ``embeddings (w, D)`` are float32; ``start_s (w,)`` and ``end_s (w,)`` are float64, in seconds from its beginning.
    """

    embeddings: NDArray[np.float32]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    duration_s: float


class Span(NamedTuple):
    """A window: its bounds in seconds, and the frames ``first`` to ``stop - 1`` whose centres lie in [start, end)."""

    start_s: float
    end_s: float
    first: int
    stop: int


def check_windows(windows: Windows, layout: Layout) -> TimeLayout:
    """Refuse windows that a model's frames cannot fill, and return its layout.

    Raises:
        ConfigError: the published layout, or windows shorter than the distance of two frames, which may hold none.
    """
    if not isinstance(layout, TimeLayout):
        raise ConfigError("layout='published': its frames mix moments, and lie in no window; use layout='time'")
    if windows.window < (frame_s := _frame_distance_s(layout)):
        raise ConfigError(
            f"window_s={windows.window_s:g}: this model has a frame every {float(frame_s):g} s; expected that or more"
        )
    return layout


def _frame_distance_s(layout: TimeLayout) -> Fraction:
    return Fraction(layout.model.patch_frames * layout.frontend.hop_samples, layout.frontend.sample_rate_hz)


def find_spans(windows: Windows, layout: TimeLayout, samples: int) -> Iterator[Span]:
    """List the windows of a recording, in exact arithmetic.

    Sound at the end that is too short for a frame of its own belongs to the last window with a frame.

    Args:
        windows, layout: as `check_windows` takes them.
        samples: length of the recording, at the front end's rate.
    """
    frames, duration_s = layout.frame_count(samples), Fraction(samples, layout.frontend.sample_rate_hz)
    last = max(0, math.ceil((duration_s - windows.window) / windows.hop))
    while last and _frames_before(layout, last * windows.hop) >= frames:
        last -= 1
    for index in range(last):
        span = full_span(windows, layout, index)
        yield span._replace(first=min(span.first, frames), stop=min(span.stop, frames))
    begin_s = last * windows.hop
    yield Span(float(begin_s), float(duration_s), min(_frames_before(layout, begin_s), frames), frames)


def full_span(windows: Windows, layout: TimeLayout, index: int) -> Span:
    """Return a window by its number, as if the recording went on behind it."""
    start_s = index * windows.hop
    end_s = start_s + windows.window
    return Span(float(start_s), float(end_s), _frames_before(layout, start_s), _frames_before(layout, end_s))


def _frames_before(layout: TimeLayout, moment_s: Fraction) -> int:
    """Count the frames whose centres lie before a moment."""
    frame_s = _frame_distance_s(layout)
    first_centre_s = frame_s * (layout.model.patch_frames - 1) / (2 * layout.model.patch_frames)
    return max(0, math.ceil((moment_s - first_centre_s) / frame_s))


def pool_windows(
    blocks: Iterable[FrameBlock], windows: Windows, layout: Layout, pooling: AnyPooling
) -> Iterator[WindowBlock]:
    """Pool the frames of each window. Numbers do not depend on how the recording is cut into blocks.

    The frames of one window and one block are in memory.

    Args:
        blocks: all frames of a recording, in order.
        layout: that of the frames.

    Raises:
        ConfigError: as `check_windows`, at once.
    """
    return _pool(blocks, windows, check_windows(windows, layout), pooling)


def _pool(
    blocks: Iterable[FrameBlock], windows: Windows, layout: TimeLayout, pooling: AnyPooling
) -> Iterator[WindowBlock]:
    import torch

    held, begin = torch.empty(0, 0), 0  # the frames from number `begin` on
    spans: Iterator[Span] = iter(())
    span: Span | None = None  # the next window
    for number, block in enumerate(blocks):
        frames = torch.from_numpy(block.frames)  # (t, F)
        held = torch.cat([held, frames]) if len(held) else frames
        if number == 0:
            spans = find_spans(windows, layout, round(block.duration_s * layout.frontend.sample_rate_hz))
            span = next(spans)
        ready: list[Span] = []
        while span is not None and span.stop <= begin + len(held):
            ready.append(span)
            span = next(spans, None)
        if ready:
            rows = [pool(held[one.first - begin : one.stop - begin], pooling) for one in ready]  # (D,) each
            start_s, end_s = (np.array(bounds) for bounds in zip(*(one[:2] for one in ready), strict=True))
            yield WindowBlock(torch.stack(rows).numpy(), start_s, end_s, block.duration_s)
        if span is not None:
            held, begin = held[span.first - begin :], span.first

"""Say how long windows are, and how far apart. This module loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real

from axlstm.errors import ConfigError

LEAST_S = 0.2


@dataclass(frozen=True)
class Windows:
    """Windows of one length, which begin at 0, ``hop_s``, 2 ``hop_s``, ... seconds.

    The last one is the first that reaches the end of the recording, and ends there. So every moment lies in a window,
    and a recording shorter than a window has one.

    Args:
        window_s: length in seconds.
        hop_s: seconds from the beginning of a window to that of the next; None means ``window_s``.

    Raises:
        ConfigError: a length or hop below 0.2 s, or a hop above the length.
    """

    window_s: float
    hop_s: float | None = None

    def __post_init__(self) -> None:
        if self.hop_s is None:
            object.__setattr__(self, "hop_s", self.window_s)
        for name in ("window_s", "hop_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not LEAST_S <= float(value) < math.inf:
                raise ConfigError(f"{name}={value!r}: expected {LEAST_S:g} seconds or more")
            object.__setattr__(self, name, float(value))
        if self.hop > self.window:
            raise ConfigError(
                f"hop_s={self.hop_s:g} is longer than window_s={self.window_s:g}: the sound between two windows would "
                "be in none; choose a hop of at most the window"
            )

    @property
    def window(self) -> Fraction:
        """Return the length in seconds as the decimal number that was given: 0.2 is a fifth."""
        return Fraction(str(self.window_s))

    @property
    def hop(self) -> Fraction:
        """Return the hop in seconds as the decimal number that was given."""
        return Fraction(str(self.hop_s))

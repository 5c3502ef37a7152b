"""Describe a spoken text as the two synthesisers give it: sound, and phones with their times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import AxlstmError
from recipes.open_audio.synth.labels import Phone


class SpeechError(AxlstmError):
    """A text that a synthesiser could not speak."""


@dataclass(frozen=True)
class Speech:
    """Speech ``samples (n,)`` float32 at ``rate_hz``, and its phones."""

    samples: NDArray[np.float32]
    rate_hz: int
    phones: tuple[Phone, ...]

"""Compare the labels of recorded notes to an estimate of f0, as file names may be wrong.

    python -m recipes.open_audio.tasks.pitch_check WORK/tasks/pitch-v1-full

The estimate is YIN's (A. de Cheveigné and H. Kawahara, JASA 111, 2002): the first dip of the normalised difference
function, in the median over frames. Of sounds with a weak fundamental it takes an octave or a twelfth above.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.evaluate.tasks.read import read_task

WITHIN = 0.6  # semitones
_WINDOW, _HOP, _START = 2048, 2400, 1600  # samples
_LONGEST = 800  # samples of a period
_THRESHOLD = 0.15
_QUIET = 1e-6  # mean square

logger = logging.getLogger(__name__)


def estimate_key(samples: NDArray[np.float32]) -> float:
    """Estimate the pitch of samples ``(n,)`` at 16 kHz as a fractional MIDI key; NaN if nothing sounds long enough."""
    keys = [
        69 + 12 * np.log2(SAMPLE_RATE_HZ / _period(samples[at : at + 2 * _WINDOW].astype(np.float64)) / 440)
        for at in range(_START, len(samples) - 2 * _WINDOW, _HOP)
        if np.square(samples[at : at + 2 * _WINDOW]).mean() > _QUIET
    ]
    return float(np.median(keys)) if keys else float("nan")


def _period(frame: NDArray[np.float64]) -> float:
    """Estimate the period of a frame of two windows, in samples."""
    lags = np.arange(1, _LONGEST)
    differences = np.array([np.square(frame[:_WINDOW] - frame[lag : lag + _WINDOW]).sum() for lag in lags])  # (lags,)
    normalised = differences * lags / np.maximum(np.cumsum(differences), 1e-12)
    below = np.flatnonzero(normalised < _THRESHOLD)
    at = int(below[0]) if len(below) else int(normalised.argmin())
    while at + 1 < len(normalised) and normalised[at + 1] < normalised[at]:
        at += 1
    if not 0 < at < len(normalised) - 1:
        return float(lags[at])
    before, here, after = normalised[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(lags[at] + (0.5 * (before - after) / bend if bend > 0 else 0.0))


def main(task: Path) -> None:
    """Log the test clips whose label and estimate differ, and how many agree."""
    read = read_task(task)
    agreeing = 0
    for file, (label,) in sorted(read.splits["test"].items()):
        error = estimate_key(load_audio(read.audio_folder("test") / file)) - int(label)
        agreeing += abs(error) < WITHIN
        if not abs(error) < WITHIN:
            logger.info("%s: estimated %+.1f semitones from its label", file, error)
    logger.info("%d of %d within %g semitones", agreeing, len(read.splits["test"]), WITHIN)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]))

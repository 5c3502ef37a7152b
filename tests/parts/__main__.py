"""Disturb runs in every way, several times each, and print what came of them: ``python -m tests.parts``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.parts.campaign import KINDS, campaign


def main() -> int:
    """Try every kind of fault, and print a line for each trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=3, help="trials of each kind of fault")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = trials = 0
    with tempfile.TemporaryDirectory() as folder, campaign(Path(folder)) as made:
        for number, kind in enumerate(KINDS):
            for turn in range(given.each):
                trial = made.attempt(kind, given.seed + 100 * number + turn)
                trials, bad = trials + 1, bad + bool(trial.faults)
                sys.stdout.write(f"{trial}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{trials} trials, {bad} not as undisturbed\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

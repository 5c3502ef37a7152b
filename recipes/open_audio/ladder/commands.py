"""Run the ladder's commands: ladder, pack-run, unpack-run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from recipes.open_audio.ladder.ladder import Place, climb
from recipes.open_audio.ladder.pilots import PilotBudget, find_pilots
from recipes.open_audio.ladder.table import ladder_markdown, learnt
from recipes.open_audio.shards import SHARDS

_BUDGET = PilotBudget()


def ladder(
    work: Path,
    out: Path | None = None,
    shards: Path | None = None,
    encoders: Path | None = None,
    budget: PilotBudget = _BUDGET,
    only: tuple[str, ...] = (),
    references: tuple[str, ...] = ("axlstm-tiny", "logmel"),
) -> int:
    """Train pilots of equal cost with different objectives, score them on the validation part, print the table.

    The same command resumes an interrupted ladder.

    Args:
        work: folder that fetch, shards and tasks have worked in.
        out: folder for the pilots, instead of WORK/ladder.
        shards: pretraining shards, instead of WORK/shards.
        encoders: folder of the teachers' weights, instead of WORK/encoders.
        budget: of every pilot.
        only: names of pilots, instead of all.
        references: models to score beside them.
    """
    place = Place(work, out or work / "ladder", shards or work / SHARDS, encoders or work / "encoders")
    results = climb(place, budget, find_pilots(only), references, _report)
    print(f"{ladder_markdown(results)}\n\n{learnt(results)}")
    return 0


def _report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

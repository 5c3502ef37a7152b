"""Run the ladder's commands: ladder, long-run, pack-run, unpack-run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from recipes.open_audio.ladder.ladder import Place, climb, teach_all
from recipes.open_audio.ladder.long_run import LongBudget, run_long
from recipes.open_audio.ladder.packing import pack_run, unpack_run
from recipes.open_audio.ladder.pilots import PilotBudget, find_pilots
from recipes.open_audio.ladder.table import ladder_markdown, learnt
from recipes.open_audio.shards import SHARDS

_BUDGET = PilotBudget()
_LONG = LongBudget()


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


def long_run(
    work: Path,
    pilot: str = "base",
    out: Path | None = None,
    shards: Path | None = None,
    encoders: Path | None = None,
    budget: LongBudget = _LONG,
) -> int:
    """Train a pilot's recipe for long; the same command resumes it, and packs its newest checkpoint every hour.

    Args:
        work: folder that fetch, shards and tasks have worked in.
        pilot: whose recipe is trained.
        out: folder for the run, instead of WORK/long.
        shards: pretraining shards, instead of WORK/shards.
        encoders: folder of the teachers' weights, instead of WORK/encoders.
        budget: of the run.
    """
    (chosen,) = find_pilots([pilot])
    out = out or work / "long"
    place = Place(work, out, shards or work / SHARDS, encoders or work / "encoders")
    if chosen.teachers:
        teach_all(place, place.shards, _report)
    summary = run_long(chosen, budget, place.data_of(chosen, place.shards), place.teachers, out, _report)
    return 0 if summary["finished"] else 3


def pack(workdir: Path, out: Path) -> int:
    """Write the newest checkpoint of a run into one file in half precision, of at most 25 MB.

    Args:
        workdir: of axlstm pretrain; the run may go on meanwhile.
        out: the file; it is replaced.
    """
    step = pack_run(workdir, out)
    print(f"wrote {out}: step {step}, {out.stat().st_size / 1e6:.1f} MB")
    return 0


def unpack(packed: Path, workdir: Path) -> int:
    """Make a workdir of a packed checkpoint, which the command of the run then goes on from.

    Args:
        packed: the file that pack wrote.
        workdir: for axlstm pretrain; of a long run, OUT/run.
    """
    config = unpack_run(packed, workdir)
    print(f"wrote {workdir}, of a run of {config.schedule.steps} steps")
    return 0


def _report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

"""Parts without any model: their rows are texts, and some parts fail or kill their worker once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from axlstm.errors import DataError
from axlstm.parts.accounts import Account
from axlstm.parts.entries import Entry
from axlstm.parts.folders import LocalFolder
from axlstm.parts.plan import Limits, Plan, make_plan
from axlstm.parts.run import PartOf, Tally, Work


class Texts(Work):
    """Writes the paths of entries. Paths tell what else happens: ``skip``, ``kill-once``, ``fail-once``, ``fail``."""

    def __init__(self, plan: Plan) -> None:
        self.marks = Path(str(plan.job["marks"]))

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        tally = Tally()
        for entry in entries:
            kind = entry.path.partition(".")[0]
            mark = self.marks / entry.path
            if kind == "kill-once" and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "fail-once" and not mark.exists():
                mark.touch()
                raise DataError("the store does not answer")
            if kind == "fail":
                raise DataError("the store never answers")
            if kind == "skip":
                tally.skipped.append((entry.path, f"{entry.path}: no sound"))
            else:
                tally.embedded, tally.rows, tally.audio_s = tally.embedded + 1, tally.rows + 1, tally.audio_s + 2.0
        path.write_text("\n".join(entry.path for entry in entries), encoding="utf-8")
        return tally


def plan_texts(folder: LocalFolder, names: Iterable[str], marks: Path, files: int = 2) -> Plan:
    """Plan parts of some entries of 10 bytes each."""
    listing = (Entry(name, 10, "1") for name in names)
    return make_plan(folder, {"marks": str(marks)}, ["texts"], Limits(files, 1.0), listing, {".txt": 1})


def one_by_one(part_of: PartOf, parts: Iterable[int]) -> Iterator[tuple[int, Account | str]]:
    """Run parts in this process."""
    for part in parts:
        yield part, part_of(part)

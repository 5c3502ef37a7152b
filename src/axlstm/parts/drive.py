"""Drive an output to its end: run the parts that are not done, and collect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from axlstm.parts.accounts import note_event
from axlstm.parts.collect import Summary, collect, find_parts
from axlstm.parts.folders import Folder
from axlstm.parts.plan import Plan
from axlstm.parts.run import MakeWork, PartOf
from axlstm.parts.runners import Outcome, in_turn

Runner: TypeAlias = Callable[[PartOf, Iterable[int]], Iterator[Outcome]]


@dataclass(frozen=True)
class Report:
    """Outcome of a run.

    Args:
        summary: of all parts.
        there: recordings of parts that were done before.
        failed: parts that failed each time, with the reason.
    """

    summary: Summary
    there: int
    failed: dict[int, str]


def drive(folder: Folder, plan: Plan, make: MakeWork, runner: Runner, progress: Callable[[float], None]) -> Report:
    """Run the parts that are not done, and collect. The same call goes on after an interruption.

    Args:
        make: makes the work of the plan in each process.
        runner: runs parts by number.
        progress: called with the entries of each part that is done, or was.

    Raises:
        InUseError: another process drives the output.
        AxlstmError: an error that another try does not mend, such as a full disk; what is done is kept.
    """
    with folder.held():
        return _drive(folder, plan, PartOf(folder.name, plan.id, make), runner, progress)


def work_on(
    folder: Folder, plan: Plan, make: MakeWork, parts: Sequence[int], progress: Callable[[float], None]
) -> dict[int, str]:
    """Do some parts in this process, beside others who may do the same; what is done is passed over.

    Returns:
        The parts that failed each time, with the reason.

    Raises:
        AxlstmError: as `drive`.
    """
    failed: dict[int, str] = {}
    for part, outcome in in_turn(PartOf(folder.name, plan.id, make), parts):
        progress(plan.counts[part])
        if isinstance(outcome, str):
            failed[part] = outcome
            note_event(folder, "given up", part=part, reason=outcome)
    return failed


def _drive(folder: Folder, plan: Plan, part_of: PartOf, runner: Runner, progress: Callable[[float], None]) -> Report:
    failed: dict[int, str] = {}
    there = 0

    def left() -> Iterator[int]:
        nonlocal there
        for part, account in find_parts(folder, plan):
            if account is None:
                yield part
            else:
                there += account.asked
                progress(account.asked)

    try:
        for part, outcome in runner(part_of, left()):
            progress(plan.counts[part])
            if isinstance(outcome, str):
                failed[part] = outcome
                note_event(folder, "given up", part=part, reason=outcome)
    finally:
        folder.clear()  # what workers that were killed had begun
    return Report(collect(folder, plan), there, failed)

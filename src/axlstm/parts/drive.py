"""Drive an output to its end: run the parts that are not done, and collect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from axlstm.errors import ConfigError
from axlstm.parts.accounts import note_event
from axlstm.parts.collect import Summary, collect, find_parts
from axlstm.parts.entries import Entry
from axlstm.parts.folders import PLAN, WORKING, Folder
from axlstm.parts.plan import Limits, Plan, make_plan, read_plan
from axlstm.parts.run import GatheredWork, PartOf, Work
from axlstm.parts.runners import Outcome, in_turn
from axlstm.remote import count_retries

Runner: TypeAlias = Callable[[PartOf, Iterable[int]], Iterator[Outcome]]


@dataclass(frozen=True)
class Report:
    """Outcome of a run.

    Args:
        summary: of all parts.
        there: recordings of parts that were done before.
        failed: parts that failed each time, with the reason.
        gathered: what `axlstm.parts.run.Work.gather` gave; None if a part is missing.
    """

    summary: Summary
    there: int
    failed: dict[int, str]
    gathered: Any = None


def take_plan(
    folder: Folder,
    job: Mapping[str, Any],
    sources: Iterable[str],
    limits: Limits,
    listed: Callable[[], tuple[Iterable[Entry], Mapping[str, int]]],
) -> Plan:
    """Take the plan that an output has, or list and plan.

    Args:
        listed: called for a new plan: the entries, and what is met beside them, as for `make_plan`.

    Raises:
        ConfigError: the output was planned otherwise, or holds other files.
        InUseError: another process drives it.
        AxlstmError: of the listing; or the plan cannot be written.
    """
    with folder.held():
        plan = read_plan(folder)
        if plan is not None:
            plan.refuse_other(folder, job, sources, limits)
            return plan
        if others := [name for name in folder.names("") if name not in (PLAN.partition("/")[0], WORKING)]:
            raise ConfigError(f"{folder.name}: a folder that holds {others[0]!r}; choose a new one, or a file for OUT")
        retries = count_retries()
        entries, not_sound = listed()
        plan = make_plan(folder, job, sources, limits, entries, not_sound)
        note_event(folder, "planned", retries=count_retries() - retries)
        return plan


def drive(folder: Folder, plan: Plan, work: type[Work], runner: Runner, progress: Callable[[float], None]) -> Report:
    """Run the parts that are not done, collect, and make the output of them. The same call goes on if it ends before.

    Args:
        work: that the plan is of.
        runner: runs parts by number.
        progress: called with the entries of each part that is done, or was.

    Raises:
        InUseError: another process drives the output.
        AxlstmError: an error that another try does not mend, such as a full disk; what is done is kept.
    """
    with folder.held():
        there, failed = _run(folder, plan, PartOf(folder.name, plan.id, work), runner, progress)
        return _close(folder, plan, work, there, failed)


def close(folder: Folder, plan: Plan, work: type[Work]) -> Report:
    """Collect an output whose parts others have done, and make of them what `drive` makes.

    Raises:
        InUseError: another process drives the output.
        AxlstmError: the output cannot be made now; the parts are kept.
    """
    with folder.held():
        return _close(folder, plan, work, 0, {})


def _close(folder: Folder, plan: Plan, work: type[Work], there: int, failed: dict[int, str]) -> Report:
    summary = collect(folder, plan)
    if summary.missing or not issubclass(work, GatheredWork):
        return Report(summary, there, failed)
    gathered = work.gather(folder, plan)
    folder.erase()
    return Report(summary, there, failed, gathered)


def work_on(
    folder: Folder, plan: Plan, work: type[Work], parts: Sequence[int], progress: Callable[[float], None]
) -> dict[int, str]:
    """Do some parts in this process, beside others who may do the same; what is done is passed over.

    Returns:
        The parts that failed each time, with the reason.

    Raises:
        AxlstmError: as `drive`.
    """
    failed: dict[int, str] = {}
    for part, outcome in in_turn(PartOf(folder.name, plan.id, work), parts):
        progress(plan.counts[part])
        if isinstance(outcome, str):
            failed[part] = outcome
            note_event(folder, "given up", part=part, reason=outcome)
    return failed


def _run(
    folder: Folder, plan: Plan, part_of: PartOf, runner: Runner, progress: Callable[[float], None]
) -> tuple[int, dict[int, str]]:
    """Run the parts that are not done: how many recordings were done before, and the parts that failed each time."""
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
    return there, failed

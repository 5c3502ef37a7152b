"""Do a part: the one function that every runner calls."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from axlstm.errors import AxlstmError, ConfigError, DataError, describe_error
from axlstm.files import readable_name
from axlstm.parts.accounts import Account, find_done, note_event, rows_name, write_account
from axlstm.parts.entries import Entry
from axlstm.parts.folders import Folder, digest_of
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Plan, read_plan
from axlstm.remote import count_retries


@dataclass
class Tally:
    """Counts of the entries of a part: each is embedded, or whatever else is to be done with it, or skipped."""

    embedded: int = 0
    rows: int = 0
    audio_s: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # path and reason


class Work(ABC):
    """Work that parts can do: what is done with the entries of a part. The parts are the output.

    It is made once in each process, with what is slow to load, such as a model. Processes import its class by name.

    Args:
        plan: whose job says what is to be done.
    """

    @abstractmethod
    def __init__(self, plan: Plan) -> None: ...

    @abstractmethod
    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        """Write the rows of some entries to a parquet file. The same entries give the same bytes.

        Raises:
            AxlstmError, OSError: the part cannot be done now; what is wrong with one recording skips that recording.
        """


class GatheredWork(Work):
    """Work whose output is made of all parts at the end. The parts are removed after that."""

    @classmethod
    @abstractmethod
    def gather(cls, folder: Folder, plan: Plan) -> Any:
        """Make the output of all parts, which are done. One process does this, and it may do it twice.

        Returns:
            the account of it, for whoever asked for the work.

        Raises:
            AxlstmError: it cannot be made now.
        """


@dataclass(frozen=True)
class PartOf:
    """Does parts of an output by number, in any process that imports this package."""

    folder: str  # name of the output's
    plan: str  # id of the plan
    work: type[Work]

    def __call__(self, part: int) -> Account:
        """Do a part, unless it is done, and account for it.

        Raises:
            ConfigError: the plan is gone, or another one.
            DataError: the account does not add up.
            AxlstmError, OSError: as `Work.write`.
        """
        folder, plan, work = _open(self)
        if (done := find_done(folder, plan, part)) is not None:
            return done
        spent = _Spent()
        try:
            account = _do(folder, plan, part, work)
        except Exception as error:
            with suppress(AxlstmError):  # the error that is told is the first one
                note_event(folder, "failed", part=part, **spent.told(), reason=describe_error(error))
            raise
        numbers = {"embedded": account.embedded, "skipped": len(account.skipped), "audio_s": account.audio_s}
        note_event(folder, "done", part=part, **spent.told(), **numbers)
        return account

    def note_killed(self, part: int) -> str:
        """Note that the worker of a part was killed, which it cannot note itself; returns the reason."""
        with suppress(AxlstmError):  # the part is tried again whether that can be noted or not
            note_event(open_folder(self.folder), "failed", part=part, reason=KILLED)
        return KILLED


class _Spent:
    """Measures what work takes from now on."""

    def __init__(self) -> None:
        self._began, self._cpu, self._retries = time.monotonic(), time.process_time(), count_retries()

    def told(self) -> dict[str, float]:
        """Return seconds, seconds of processor, and requests that were tried again."""
        seconds, cpu = time.monotonic() - self._began, time.process_time() - self._cpu
        return {"seconds": round(seconds, 3), "cpu_s": round(cpu, 3), "retries": count_retries() - self._retries}


KILLED = "a worker was killed, perhaps for want of memory; fewer workers need less"
"""Reason of a part whose worker is gone."""


@lru_cache(maxsize=1)
def _open(part_of: PartOf) -> tuple[Folder, Plan, Work]:
    """Open an output and make its work; both are kept for the next part."""
    folder = open_folder(part_of.folder)
    plan = read_plan(folder)
    if plan is None or plan.id != part_of.plan:
        raise ConfigError(
            f"{folder.name}: the plan of its parts is not there any more, or not on this machine: workers of other "
            "machines need a shared folder or a URL; run the same command again"
        )
    return folder, plan, part_of.work(plan)


def _do(folder: Folder, plan: Plan, part: int, work: Work) -> Account:
    entries = [entry for entry in plan.read_entries(folder, part) if not entry.there]
    asked = [entry for entry in entries if not entry.skip]
    with folder.publish(rows_name(part)) as path:
        tally = work.write(asked, path)
        skipped = [(readable_name(entry.path), entry.skip) for entry in entries if entry.skip] + tally.skipped
        if tally.embedded + len(skipped) != len(entries):
            raise DataError(f"part {part}: {len(entries)} asked, {tally.embedded} embedded, {len(skipped)} skipped")
        with path.open("rb") as file:
            size, digest = digest_of(file)
    account = Account(
        plan=plan.id,
        part=part,
        asked=len(entries),
        embedded=tally.embedded,
        rows=tally.rows,
        audio_s=round(tally.audio_s, 3),
        skipped=tuple(skipped),
        size_bytes=size,
        digest=digest,
    )
    write_account(folder, account)
    return account

"""Run parts: a runner maps numbers of parts to their accounts, in any order, and tries again what failed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeAlias

from axlstm.errors import CheckpointError, ConfigError, DamageError, WriteError, describe_error
from axlstm.parts.accounts import Account
from axlstm.parts.run import PartOf
from axlstm.threads import UNGUARDED, Processes

_ATTEMPTS = 3

Outcome: TypeAlias = "tuple[int, Account | str]"
"""The number of a part with its account, or with the reason why it failed each time."""


class Queue:
    """The parts that are to be done, each of which is tried three times.

    Args:
        parts: their numbers, which may be many: they are taken one by one.
    """

    def __init__(self, parts: Iterable[int]) -> None:
        self._waiting = iter(parts)
        self._again: list[int] = []
        self._tries: Counter[int] = Counter()  # of parts that are not done

    def take(self) -> int | None:
        """Take the next part; None if none is waiting."""
        part = next(self._waiting, None)
        part = self._again.pop(0) if part is None and self._again else part
        if part is not None:
            self._tries[part] += 1
        return part

    def done(self, account: Account) -> Outcome:
        """Note that a part is done."""
        del self._tries[account.part]
        return account.part, account

    def failed(self, part: int, error: Exception | str) -> Iterator[Outcome]:
        """Put a part back behind the others, or yield it as failed after the last try.

        Raises:
            AxlstmError: the error, if another try does not mend it.
        """
        if isinstance(error, (ConfigError, CheckpointError, DamageError, WriteError)):
            raise error
        if self._tries[part] < _ATTEMPTS:
            self._again.append(part)
        else:
            yield part, error if isinstance(error, str) else describe_error(error)


def in_turn(part_of: PartOf, parts: Iterable[int]) -> Iterator[Outcome]:
    """Run parts in this process, one after another.

    Raises:
        AxlstmError: an error that another try does not mend.
    """
    queue = Queue(parts)
    while (part := queue.take()) is not None:
        try:
            account = part_of(part)
        except Exception as error:
            yield from queue.failed(part, error)
        else:
            yield queue.done(account)


def in_processes(part_of: PartOf, parts: Iterable[int], workers: int) -> Iterator[Outcome]:
    """Run parts in worker processes, one core each. Processes that were killed are replaced.

    Raises:
        AxlstmError: an error that another try does not mend, or processes that cannot start.
    """
    queue = Queue(parts)
    is_complete = False
    while not is_complete:
        pool = Processes(workers, _start)
        running: dict[Future[Account], int] = {}
        try:
            while True:
                while len(running) <= workers and (part := queue.take()) is not None:
                    running[pool.submit(part_of, part)] = part
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise error
                    part = running.pop(future)
                    if isinstance(error, Exception):
                        yield from queue.failed(part, error)
                    else:
                        yield queue.done(future.result())
            is_complete = True
        except BrokenProcessPool as error:
            if pool.failed_to_start:
                raise ConfigError(f"no worker process could start: {UNGUARDED}") from error
            for part in sorted(running.values()):
                yield from queue.failed(part, part_of.note_killed(part))
        finally:
            pool.end()


def _start() -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # Ctrl-C reaches all; what a part had begun is begun anew

"""Spread work over the cores, one thread or one process each.

By itself torch spreads each operation over all cores, which then wait for each other some thousand times a window. This
module does not load it: where torch is there, each thread is told to compute on one core.

`count_cores` says for all of the package how many cores may be used: threads, processes and the threads of OpenVINO
together are as many.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from functools import cache, lru_cache
from itertools import islice
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Barrier, RLock, Thread, local
from typing import Any, TypeVar

from axlstm.errors import ConfigError

T = TypeVar("T")
R = TypeVar("R")

_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_WATCH_SECONDS = 1.0
_MOST_AHEAD = 64  # items whose results are waited for or wait
_thread = local()


def count_cores() -> int:
    """Count the cores that this process may use, at least one.

    It is the least of the limits that are there: the quota of its cgroup (containers have one), and
    `torch.set_num_threads` where torch is loaded, or else OMP_NUM_THREADS, or else the physical cores that the process
    may run on.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        threads = int(torch.get_num_threads())
    else:
        told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        threads = int(told) if told.isdecimal() and int(told) else _physical_cores()
    quota = _cgroup_cores()
    return max(1, threads if quota is None else min(threads, quota))


@cache
def _physical_cores() -> int:
    """Count the cores that this process may run on; two threads of one core count once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    numbers = os.sched_getaffinity(0)
    siblings = set()
    for number in numbers:
        try:
            topology = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
            siblings.add(topology.read_text(encoding="ascii"))
        except (OSError, ValueError):
            siblings.add(str(number))
    return len(siblings)


@cache
def _cgroup_cores() -> int | None:
    """Read how many cores the cgroup of this process may keep busy, rounded up; None without a limit."""
    quotas = [_quota_of_v2(folder) for folder in _cgroup_folders()]
    quotas.append(_quota_of_v1(_CGROUPS / "cpu"))
    found = [quota for quota in quotas if quota is not None]
    return min(found) if found else None


def _cgroup_folders() -> list[Path]:
    """List the folders of this process's cgroup and of those that it lies in."""
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    own = next((line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")), None)
    if own is None:
        return []
    folder = _CGROUPS / own
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(_CGROUPS))]


def _quota_of_v2(folder: Path) -> int | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_of_v1(folder: Path) -> int | None:
    try:
        quota, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period")
        )
        return -(-quota // period) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def on_all_cores(function: Callable[[T], R], items: Iterable[T], done: Callable[[], None] = lambda: None) -> list[R]:
    """Return ``function`` of each item, in order, from as many threads as `count_cores` allows.

    In a thread that shares work already it is the thread itself: the others have work of their own.

    Args:
        done: called in the calling thread after each item, in order; an exception of it ends the work.
    """
    work, threads = list(items), count_cores()
    found = []
    if threads == 1 or len(work) < 2 or getattr(_thread, "shares", False):
        for item in work:
            found.append(function(item))
            done()
        return found
    futures = [_cores(threads, "torch" in sys.modules).submit(function, item) for item in work]
    try:
        for future in futures:
            found.append(future.result())
            done()
        return found
    finally:
        for future in futures:
            future.cancel()


def ahead(
    function: Callable[[T], R], items: Iterable[T], size: Callable[[R], int], limit: int
) -> Generator[tuple[T, Future[R]], None, None]:
    """Yield each item with the future of ``function`` of it, in order; threads compute ahead of the consumer.

    Args:
        size: of a result, in the unit of ``limit``.
        limit: total size of waiting results beyond which no item is begun. Unfinished ones count as large as the latest
            results were. One item more than there are threads is begun in any case.
    """
    source = iter(items)
    threads = count_cores()
    waiting: deque[tuple[T, Future[R]]] = deque()
    latest: deque[int] = deque([limit], maxlen=_MOST_AHEAD)  # sizes; until some are known, as large as can be

    def has_room() -> bool:
        if len(waiting) >= _MOST_AHEAD:
            return False
        done = [future for _, future in waiting if future.done()]
        held = sum(size(future.result()) for future in done if not future.exception())
        unfinished = len(waiting) - len(done)
        expected = held + unfinished * sum(latest) / len(latest)
        return held < limit and (unfinished <= threads or expected < limit)

    with one_core_threads(threads) as pool:
        try:
            while True:
                while has_room():
                    following = list(islice(source, 1))
                    if not following:
                        break
                    waiting.append((following[0], pool.submit(function, following[0])))
                if not waiting:
                    return
                item, first = waiting[0]
                if not first.done():
                    # Others may be done before it, and make room: the threads are to have work until it is.
                    others = waiting if len(waiting) < _MOST_AHEAD else ()
                    wait([first, *(future for _, future in others if not future.done())], return_when=FIRST_COMPLETED)
                    continue
                waiting.popleft()
                if not first.exception():
                    latest.append(size(first.result()))
                yield item, first
        finally:
            for _, future in waiting:
                future.cancel()


def one_core_threads(threads: int) -> ThreadPoolExecutor:
    """Make a pool of threads; torch computes on one core in each."""
    if "torch" not in sys.modules:
        return ThreadPoolExecutor(threads, "axlstm", _share)
    import torch

    started = Barrier(threads)

    def start() -> None:
        _share()
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread's first question decides: from here on it stays with this number
        started.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="axlstm", initializer=start)
    for ready in [pool.submit(int) for _ in range(threads)]:
        ready.result()
    torch.set_num_threads(torch.get_num_threads())  # the latest call of any thread is what others start with
    return pool


def _share() -> None:
    _thread.shares = True


@lru_cache(maxsize=1)
def _cores(threads: int, with_torch: bool) -> ThreadPoolExecutor:
    """Return threads that are kept; those that were made before torch was loaded do not serve it."""
    del with_torch
    return one_core_threads(threads)


def _after_fork() -> None:
    """Forget threads that only the parent has: ours, and those of OpenMP, for which torch would wait without an end."""
    _cores.cache_clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ForkLock:
    """A lock for a ``with`` that a fork gets anew, since what holds it in the parent does not go on there.

    It is for what lives as long as the process.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Processes:
    """Worker processes that are started afresh, not forked. They begin by importing the script that made them.

    Args:
        count: of processes.
        initializer, initargs: called first in each.
    """

    def __init__(self, count: int, initializer: Callable[..., None], initargs: tuple[Any, ...] = ()) -> None:
        context = get_context("spawn")
        self._begun = context.Event()
        self.pool = ProcessPoolExecutor(count, context, _begin, (self._begun, initializer, *initargs))
        self._made: dict[int, Any] = {}  # the pool forgets them when it breaks

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """Call a function in one of the processes; the first call starts them.

        Raises:
            ConfigError: as `check_main_guard`.
        """
        check_main_guard()
        future = self.pool.submit(function, *arguments)
        self._made |= self.pool._processes or {}
        return future

    @property
    def failed_to_start(self) -> bool:
        """Tell whether they ended by themselves before their first work: they failed to import the script."""
        if self._begun.is_set():
            return False
        until = time.monotonic() + _WATCH_SECONDS
        while any(process.exitcode is None for process in self._made.values()) and time.monotonic() < until:
            time.sleep(0.01)  # a thread of the pool asks for the codes too, and one of the two is told later
        return any((process.exitcode or 0) > 0 for process in self._made.values())  # a signal's is below 0

    def end(self) -> None:
        """End the processes, those at work too."""
        for process in self._made.values():
            process.kill()
        self.pool.shutdown(cancel_futures=True)


def _begin(begun: Event, initializer: Callable[..., None], *initargs: Any) -> None:
    end_with_parent()
    begun.set()
    initializer(*initargs)


def end_with_parent() -> None:
    """Make this worker process end within seconds when its parent has, however that ended."""
    parent, number = parent_process(), os.getppid()

    def watch() -> None:
        while parent is not None and parent.is_alive() and os.getppid() == number:
            parent.join(_WATCH_SECONDS)  # returns at once when the parent ends
        os._exit(1)  # nobody is left to read what the work gives

    Thread(target=watch, name="axlstm-parent", daemon=True).start()


def check_main_guard() -> None:
    """Refuse to start processes in one that still imports the script of its parent: they would never end.

    Raises:
        ConfigError: saying what the script lacks.
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself asks before it starts one
        raise ConfigError(UNGUARDED)


UNGUARDED = (
    "a worker process imports the script that started it, which must not start workers again: put what the script does "
    'below `if __name__ == "__main__":`'
)
"""The reason and the remedy where a script starts workers outside of its main guard."""

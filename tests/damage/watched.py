"""A call in a forked process that is watched: it may neither hang nor take memory without bound."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 5  # of computing
_WALL_SECONDS = 120  # where others compute on the same cores
_SPARE_BYTES = 3 << 30  # of addresses, so that a burst does not take the machine down


class Ended(NamedTuple):
    """The end of a watched call: its result, or None if it was killed, and the memory that it added."""

    result: Any
    seconds_used: float
    megabytes: float


def watched(call: Callable[[], Any], seconds: int = SECONDS) -> Ended:
    """Call in a fork of this process; the result must be picklable. An error of the call is printed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            before = _memory("VmRSS")
            _reset_peak()
            addresses = _memory("VmSize") * 1024 + _SPARE_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.alarm(_WALL_SECONDS)
            result = call()
            grown = max(0, _memory("VmHWM") - before) / 1024
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump((result, grown), pipe)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    _, _, usage = os.wait4(child, 0)
    result, grown = pickle.loads(content) if content else (None, usage.ru_maxrss / 1024)
    return Ended(result, usage.ru_utime + usage.ru_stime, grown)


def _memory(name: str) -> int:
    """KiB, as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

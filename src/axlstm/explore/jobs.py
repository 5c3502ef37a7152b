"""Run one long piece of work at a time beside the requests: its progress, its end, and how to stop it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from axlstm.errors import AxlstmError, describe_error
from axlstm.explore.places import NoSuchError
from axlstm.locks import InUseError

State = Literal["running", "done", "failed", "cancelled"]
_MOST_ENDED = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job as the page shows it.

    Args:
        share: that is done, from 0 to 1.
        result: what it gave, as plain JSON, once it is done.
        error: why it failed.
    """

    id: int
    kind: str
    title: str
    state: State = "running"
    share: float = 0.0
    note: str = ""
    result: Any = None
    error: str = ""

    def describe(self) -> dict[str, Any]:
        """Return the job as JSON."""
        return asdict(self)


class Reporter:
    """Takes the progress of a job. If the job is to stop, `__call__` raises KeyboardInterrupt, as Ctrl-C would."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def __call__(self, share: float, note: str = "") -> None:
        """Tell the share that is done."""
        self._jobs._note(share, note)

    def counting(self, total: float) -> Callable[[float], None]:
        """Return a function to be called with parts that are done, of ``total`` in all."""
        done = 0.0

        def advance(parts: float) -> None:
            nonlocal done
            done += parts
            self(min(1.0, done / max(total, 1e-9)))

        return advance


class Jobs:
    """The latest job, and the thread that runs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._ended: dict[int, Job] = {}  # the latest ones: who waits for one may ask when another one runs already
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def latest(self) -> Job | None:
        """Return the job that runs, or the last one that ran."""
        with self._lock:
            return self._job

    def find(self, number: int) -> Job:
        """Return the job of a number.

        Raises:
            NoSuchError: there was none, or many others have run since.
        """
        with self._lock:
            found = self._job if self._job is not None and self._job.id == number else self._ended.get(number)
        if found is None:
            raise NoSuchError(f"no job number {number}")
        return found

    def start(self, kind: str, title: str, work: Callable[[Reporter], Any]) -> Job:
        """Begin a job.

        Args:
            work: gives the result, as plain JSON; errors of this package are told as they are.

        Raises:
            InUseError: another job runs.
        """
        with self._lock:
            if self._job is not None and self._job.state == "running":
                raise InUseError(f"{self._job.title}: this runs already; wait for it to end, or cancel it")
            if self._job is not None:
                self._ended[self._job.id] = self._job
                self._ended.pop(self._job.id - _MOST_ENDED, None)
            self._stop.clear()
            job = self._job = Job(1 if self._job is None else self._job.id + 1, kind, title)
            self._thread = threading.Thread(target=self._run, args=(work,), name=f"axlstm-{kind}", daemon=True)
            self._thread.start()
            return job

    def cancel(self, number: int | None = None) -> None:
        """Ask the job that runs to stop, at the next moment at which it tells of itself.

        Args:
            number: of the job that is meant; another one runs on.
        """
        with self._lock:
            if self._job is not None and number in (None, self._job.id):
                self._stop.set()

    def close(self) -> None:
        """Stop the job that runs, and wait for it for a moment: what is finished of it is kept by the work itself."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self, work: Callable[[Reporter], Any]) -> None:
        try:
            result = work(Reporter(self))
            self._change(state="done", share=1.0, result=result)
        except KeyboardInterrupt as stop:  # of `_note`: signals interrupt the main thread alone
            self._change(state="cancelled", note=str(stop))
        except (AxlstmError, OSError, ImportError) as error:
            self._change(state="failed", error=describe_error(error))
        except Exception as error:
            _log.exception("a job failed")
            self._change(state="failed", error=describe_error(error))

    def _note(self, share: float, note: str) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._change(share=share, **({"note": note} if note else {}))

    def _change(self, **values: Any) -> None:
        with self._lock:
            assert self._job is not None
            self._job = replace(self._job, **values)

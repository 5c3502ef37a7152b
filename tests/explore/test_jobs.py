"""Long work beside the requests."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from axlstm.errors import DataError
from axlstm.explore.jobs import Job, Jobs, Reporter
from axlstm.locks import InUseError


def ended(jobs: Jobs) -> Job:
    assert jobs._thread is not None
    jobs._thread.join()
    assert jobs.latest is not None
    return jobs.latest


def test_a_job_tells_how_far_it_is_and_what_it_gave() -> None:
    jobs, told, go = Jobs(), threading.Event(), threading.Event()

    def work(report: Reporter) -> Any:
        advance = report.counting(4)
        advance(1)
        report(0.5, "half")
        told.set()
        go.wait()
        return {"made": 3}

    assert jobs.latest is None
    assert jobs.start("map", "Drawing", work).state == "running"
    told.wait()
    latest = jobs.latest
    assert (latest.share, latest.note, latest.state) == (0.5, "half", "running")
    with pytest.raises(InUseError, match="Drawing: this runs already"):
        jobs.start("map", "Again", work)
    go.set()
    job = ended(jobs)
    assert (job.state, job.share, job.result) == ("done", 1.0, {"made": 3})
    assert jobs.start("map", "Again", lambda _: None).id == 2


def test_a_job_that_is_cancelled_stops_when_it_next_tells_of_itself() -> None:
    jobs, begun, go = Jobs(), threading.Event(), threading.Event()

    def work(report: Reporter) -> None:
        begun.set()
        go.wait()
        report(0.1)
        raise AssertionError("it went on")

    jobs.start("index", "Indexing", work)
    begun.wait()
    jobs.cancel()
    go.set()
    assert ended(jobs).state == "cancelled"


def test_a_job_that_fails_says_why() -> None:
    jobs = Jobs()

    def work(_: Reporter) -> None:
        raise DataError("no labels; give some")

    jobs.start("train", "Training", work)
    job = ended(jobs)
    assert (job.state, job.error) == ("failed", "no labels; give some")


def test_a_fault_of_ours_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    jobs.start("train", "Training", lambda _: 1 / 0)
    job = ended(jobs)
    assert (job.state, job.error) == ("failed", "ZeroDivisionError: division by zero")
    assert "a job failed" in caplog.text

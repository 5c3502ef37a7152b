"""Outputs come to their end whatever happens to workers and files: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from axlstm.errors import ConfigError, WriteError
from axlstm.locks import InUseError
from axlstm.parts import accounts
from axlstm.parts.accounts import Account, account_name, count_reasons, find_done, read_events, rows_name
from axlstm.parts.collect import SKIPPED, SUMMARY
from axlstm.parts.drive import Report, Runner, drive
from axlstm.parts.folders import LocalFolder
from axlstm.parts.opening import find_planned
from axlstm.parts.plan import Plan, read_plan
from axlstm.parts.run import PartOf
from axlstm.parts.runners import in_processes, in_turn
from axlstm.parts.status import read_status, write_prometheus
from tests.parts.made import Texts, one_by_one, plan_texts

NAMES = ["a.wav", "skip.1", "b.wav", "c.wav", "skip.2", "d.wav", "e.wav"]


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "out")


def run(folder: LocalFolder, names: Iterable[str] = NAMES, runner: Runner = one_by_one) -> Report:
    marks = folder.path.parent / "marks"
    marks.mkdir(exist_ok=True)
    plan = read_plan(folder) or plan_texts(folder, names, marks)
    return drive(folder, plan, Texts, runner, lambda _: None)


def content(folder: LocalFolder) -> dict[str, bytes]:
    """All files but those that hold times and processes."""
    files = (path for path in folder.path.rglob("*") if path.is_file())
    passing = ("_events.jsonl", "lock", "lock.holder")
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in files if path.name not in passing}


def test_reasons_are_kinds_of_faults_and_not_what_was_measured() -> None:
    cut = ["cut short: holds 0.50 s of the 1.50 s", "cut short: holds 1 s of the 2.5e-05 s"]
    faults = [*cut, "an mp3 file (3)", "a.mp3", "HTTP 404", "HTTP 403"]
    counts = {"cut short: holds ... s of the ... s": 2, "HTTP 403": 1, "HTTP 404": 1, "a.mp3": 1, "an mp3 file": 1}
    assert count_reasons((f"{number}.wav", f"{number}.wav: {fault}") for number, fault in enumerate(faults)) == counts


def test_everything_is_accounted_for(folder: LocalFolder) -> None:
    report = run(folder)
    summary = report.summary
    assert (summary.parts, summary.asked, summary.embedded, summary.skipped) == (4, 7, 5, 2)
    assert (summary.rows, summary.audio_s, summary.missing) == (5, 10.0, ())
    assert summary.reasons == {"no sound": 2}
    assert summary.not_sound == {".txt": 1}
    skipped = [json.loads(line) for line in folder.read(SKIPPED).splitlines()]
    assert skipped == [{"path": name, "reason": f"{name}: no sound"} for name in ("skip.1", "skip.2")]
    assert json.loads(folder.read(SUMMARY))["embedded"] == 5


def test_a_part_twice_gives_the_same_bytes(folder: LocalFolder) -> None:
    run(folder)
    before = content(folder)
    for part in range(4):
        folder.remove(account_name(part))
    assert run(folder).there == 0
    assert content(folder) == before


@pytest.mark.parametrize("fault", ["cut", "changed", "gone", "account gone", "account changed", "of another plan"])
def test_a_part_that_is_not_as_it_was_written_is_done_again(folder: LocalFolder, fault: str) -> None:
    run(folder)
    before = content(folder)
    rows, account = folder.path / rows_name(1), folder.path / account_name(1)
    if fault == "cut":
        rows.write_bytes(rows.read_bytes()[:-1])
    elif fault == "changed":
        rows.write_bytes(rows.read_bytes().replace(b"b", b"x"))
    elif fault == "gone":
        rows.unlink()
    elif fault == "account gone":
        account.unlink()
    elif fault == "account changed":
        account.write_bytes(account.read_bytes().replace(b'"embedded": 2', b'"embedded": 3'))
    else:
        account.write_bytes(folder.read(account_name(0)))
    report = run(folder)
    assert report.there == 5
    assert content(folder) == before


def test_a_try_that_fails_is_repeated_and_noted(folder: LocalFolder, tmp_path: Path) -> None:
    names = ["a.wav", "fail-once.1", "b.wav", "kill-once.1", "c.wav"]
    report = run(folder, names, partial(in_processes, workers=2))
    assert (report.summary.embedded, report.failed) == (5, {})
    events = [(event["part"], event["event"]) for event in read_events(folder) if "part" in event]
    assert (0, "failed") in events
    assert sorted(part for part, event in events if event == "done") == [0, 1, 2]
    undisturbed = LocalFolder(tmp_path / "undisturbed" / "out")
    undisturbed.path.mkdir(parents=True)
    run(undisturbed, names, _patient)
    rows = {name: content(undisturbed)[name] for name in map(rows_name, range(3))}
    assert rows == {name: content(folder)[name] for name in rows}
    assert not list(folder.path.rglob("*.part"))


def _patient(part_of: PartOf, parts: Iterable[int]) -> Iterator[tuple[int, Account | str]]:
    """Run parts here, where nothing kills: what would kill or fail once has done so."""
    marks = Path(part_of.folder).parent / "marks"
    for name in ("fail-once.1", "kill-once.1"):
        (marks / name).touch()
    return one_by_one(part_of, parts)


def test_a_part_that_always_fails_is_told_and_the_others_are_done(folder: LocalFolder) -> None:
    names = ["a.wav", "b.wav", "fail.1", "c.wav", "d.wav"]
    report = run(folder, names, in_turn)
    assert report.failed == {1: "the store never answers"}
    assert (report.summary.embedded, report.summary.missing) == (3, (1,))
    assert SUMMARY not in folder.names("")
    status = read_status(*find_planned(folder.name))
    assert (status.done, status.parts, status.is_complete) == (2, 3, False)
    assert status.failures == {"the store never answers": 3}


def test_a_full_disk_ends_the_run_and_what_is_done_stays(folder: LocalFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(part: int, *_: Any) -> None:
        if part == 2:
            raise WriteError("out: cannot be written (No space left on device). Free some space")

    real = Texts.write
    monkeypatch.setattr(Texts, "write", lambda self, entries, path: write(_number(path)) or real(self, entries, path))
    with pytest.raises(WriteError, match="Free some space"):
        run(folder, runner=in_turn)
    monkeypatch.setattr(Texts, "write", real)
    report = run(folder)
    assert (report.there, report.summary.embedded) == (4, 5)


def _number(path: Path) -> int:
    return int(path.name.partition("part-")[2][:6])


def test_one_driver_at_a_time(folder: LocalFolder) -> None:
    with folder.held(), pytest.raises(InUseError, match=f"in use by process {os.getpid()}"), folder.held():
        pass


def test_parts_need_a_plan(folder: LocalFolder) -> None:
    with pytest.raises(ConfigError, match="the plan of its parts is not there any more"):
        PartOf(folder.name, "an id", Texts)(0)
    with pytest.raises(ConfigError, match="no plan of parts there"):
        find_planned(folder.name)


def test_a_plan_that_was_made_anew_is_not_mixed_with_the_first(folder: LocalFolder) -> None:
    run(folder)
    marks = folder.path.parent / "marks"
    plan = plan_texts(folder, [*NAMES, "f.wav"], marks)
    report = drive(folder, plan, Texts, in_turn, lambda _: None)
    assert (report.there, report.summary.embedded, report.summary.plan) == (0, 6, plan.id)


def test_a_clock_that_is_set_back_costs_the_speed_alone(folder: LocalFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([2_000_000_000.0, 1_000_000_000.0, 3_000_000_000.0, 0.0, 5.0, 6.0])
    monkeypatch.setattr(accounts.time, "gmtime", lambda: real(next(times)))
    real = accounts.time.localtime
    report = run(folder)
    assert (report.summary.embedded, report.summary.missing) == (5, ())
    status = read_status(*find_planned(folder.name))
    assert (status.done, status.is_complete, status.seconds_left) == (4, True, 0.0)


def test_status_while_parts_are_done(folder: LocalFolder) -> None:
    def one(part_of: PartOf, parts: Iterable[int]) -> Iterator[tuple[int, Account | str]]:
        yield from one_by_one(part_of, [next(iter(parts))])

    run(folder, runner=one)
    status = read_status(*find_planned(folder.name))
    assert (status.done, status.parts, status.embedded, status.skipped, status.asked) == (1, 4, 1, 1, 7)
    assert status.reasons == {"no sound": 1}
    folder.append("_events.jsonl", b'{"torn\n')
    folder.append("_events.jsonl", b'{"at": "2000-01-01T00:00:00Z", "part": 1, "event": "done", "crc32": "0"}\n')
    assert read_status(*find_planned(folder.name)) == status


def test_an_account_that_does_not_add_up_is_refused(folder: LocalFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Texts.write

    def lose(self: Texts, entries: Any, path: Path) -> Any:
        return real(self, entries[1:], path)

    monkeypatch.setattr(Texts, "write", lose)
    report = run(folder, runner=in_turn)
    assert report.failed[0] == "part 0: 2 asked, 0 embedded, 1 skipped"
    plan = read_plan(folder)
    assert isinstance(plan, Plan)
    assert find_done(folder, plan, 0) is None


def test_numbers_for_prometheus(folder: LocalFolder) -> None:
    run(folder, ["a.wav", "skip.1", "fail.1", "b.wav"], in_turn)
    lines = write_prometheus(read_status(*find_planned(folder.name)), 'the "output"').splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    own = 'output="the \\"output\\""'
    assert values[f"axlstm_parts{{{own}}}"] == "2"
    assert values[f"axlstm_parts_done{{{own}}}"] == "1"
    assert values[f"axlstm_recordings_done{{{own}}}"] == "1"
    assert values[f'axlstm_recordings_skipped{{{own},reason="no sound"}}'] == "1"
    assert values[f'axlstm_part_failures{{{own},reason="the store never answers"}}'] == "3"
    assert values[f"axlstm_complete{{{own}}}"] == "0"
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert all(re.fullmatch(r'axlstm_\w+\{(\w+="([^"\\]|\\.)*",?)+\} \S+', line) for line in lines if line[0] != "#")

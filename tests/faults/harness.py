"""Every change that a command makes to its output folder is a numbered point, and each can be made to fail.

`Faults` compiles ``shim.c``, starts a fork server under it, and runs a command once undisturbed: the points of that run
are its table. Then, for a point and a kind of fault, it runs the command with that fault and the same command again
without, and says what is not as it should be.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.faults.content import content_of, names_of

KINDS = ("kill", "torn", "enospc", "eio", "eacces", "short")
_NUMBER = {kind: number for number, kind in enumerate(KINDS, start=1)}
_HEADER = struct.Struct("4q1024s")
_POINT = struct.Struct("c247s")
_POINTS = 16384
# What a fault can happen to: o opening for writing, w writing, b writing a byte, s flushing, t cutting, r renaming,
# l linking, u removing a file, d removing a folder, m making one.
_APPLIES = {
    "kill": "owbstrludm",
    "torn": "w",
    "enospc": "owbsrlm",
    "eio": "owbstrludm",
    "eacces": "otrludm",
    "short": "w",
}
_SECONDS = 60.0
_FOREIGN = re.compile(r"(?:^|: )[\w.]*(?:Error|Exception|Interrupt)\b:? ")
_REMEDY = "the same command"
# What a command says that had done its work before the fault: a new folder is there, a label is undone.
_DONE = ("there already; choose a folder that is not there or is empty", "is undone already")


def compiler() -> str | None:
    """Find a C compiler."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


@dataclass(frozen=True)
class Point:
    """One change to the output folder."""

    number: int
    what: str
    name: str


class Control:
    """The shim, and the file that it shares with this process.

    Args:
        root: gets both.
        folder: whose changes are points.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        shim, file = root / "shim.so", root / "control"
        source = Path(__file__).with_name("shim.c")
        subprocess.run([compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        file.write_bytes(bytes(_HEADER.size + _POINT.size * _POINTS))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0)
        self._folder = os.fsencode(folder)
        self.environment = {**os.environ, "LD_PRELOAD": str(shim), "FAULT_CONTROL": str(file), "OMP_NUM_THREADS": "1"}

    def arm(self, at: int = -1, kind: str | None = None) -> None:
        """Begin to count anew, and choose the point that fails."""
        self._memory[: _HEADER.size] = _HEADER.pack(at, _NUMBER.get(kind or "", 0), 0, 0, self._folder)

    def points(self) -> list[Point]:
        """List the points since `arm`."""
        count = _HEADER.unpack(self._memory[: _HEADER.size])[2]
        assert count < _POINTS
        found = [_POINT.unpack_from(self._memory, _HEADER.size + number * _POINT.size) for number in range(count)]
        return [
            Point(number, what.decode(), os.fsdecode(name.split(b"\0")[0])) for number, (what, name) in enumerate(found)
        ]

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()


@dataclass(frozen=True)
class Verdict:
    """What a fault at a point has done."""

    point: Point
    kind: str
    faults: tuple[str, ...]  # what is not as it should be
    leftovers: tuple[str, ...]  # files that nobody will remove

    def __str__(self) -> str:
        where = f"{self.kind} at {self.point.number} ({self.point.what} {self.point.name})"
        return f"{where}: {'; '.join([*self.faults, *(f'left {name}' for name in self.leftovers)])}"


@dataclass
class Recording:
    """An undisturbed run: its points, and what it left."""

    points: list[Point]
    content: dict[str, Any]
    verdicts: list[Verdict] = field(default_factory=list)

    def applicable(self, kind: str, thins: bool = False) -> list[Point]:
        """List the points that a kind of fault can happen at, or of those the ones that `thin` keeps."""
        points = [point for point in self.points if point.what in _APPLIES[kind]]
        return thin(points) if thins else points


class Faults:
    """A fork server under the shim, and one folder in which all runs take place, one after another.

    Args:
        root: an empty folder. Commands write below ``root/work``.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.work = root.resolve(), root.resolve() / "work"
        self._start: Path | None = None
        self._control = Control(self.root, self.work)
        environment = {**self._control.environment, "MPLBACKEND": "agg", "COLUMNS": "500"}
        self._log = (self.root / "server.log").open("wb")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()
        self._control.close()
        self._log.close()

    def record(self, arguments: Sequence[str], start: Path | None = None) -> Recording:
        """Run a command twice undisturbed: the first run fills the server's imports, the second is the table.

        Args:
            start: a folder with what the folder of the output holds before the command is run; None if it is empty.
        """
        self._start = start
        for _ in range(2):
            self._empty()
            answer, output = self.run(arguments)
            assert answer["status"] == 0, output
        return Recording(self._control.points(), content_of(self.work))

    def judge(self, arguments: Sequence[str], recording: Recording, point: Point, kind: str) -> Verdict:
        """Run a command with a fault, then again without, and compare."""
        self._empty()
        answer, output = self.run(arguments, point.number, kind)
        faults, leftovers = [], list[str]()
        if answer["hung"]:
            faults.append("hung")
        if answer["orphans_seconds"] > 10:
            faults.append(f"a process stayed for {answer['orphans_seconds']:.0f} s")
        killed, reached = kind in ("kill", "torn"), len(self._control.points()) > point.number
        if not reached:
            faults += [] if answer["status"] == 0 else [f"not reached, status {answer['status']}: {output}"]
        elif killed:
            faults += [] if answer["status"] == -9 else [f"status {answer['status']} where it was killed"]
        elif answer["status"] == 0:
            faults += self._differences(recording, "status 0, and ")
            if not faults and not self._left(recording):  # complete in spite of the fault
                return self._note(recording, Verdict(point, kind, (), ()))
        else:
            faults += judge_message(output, self.work)
            if point.what not in "ud":  # what could not be removed stays
                leftovers += [name for name in self._names() if is_part(name)]
        answer, output = self.run(arguments)
        differences = self._differences(recording, "again: ")
        was_done = any(told in output for told in _DONE) and not differences
        if answer["status"] != 0 and not was_done:
            faults.append(f"again: status {answer['status']}: {output[-800:]}")
        else:
            faults += differences
            leftovers += self._left(recording)
        return self._note(recording, Verdict(point, kind, tuple(faults), tuple(leftovers)))

    def _note(self, recording: Recording, verdict: Verdict) -> Verdict:
        recording.verdicts.append(verdict)
        return verdict

    def _left(self, recording: Recording) -> tuple[str, ...]:
        return tuple(sorted(set(self._names()) - set(recording.content)))

    def run(self, arguments: Sequence[str], at: int = -1, kind: str | None = None) -> tuple[dict[str, Any], str]:
        """Run a command in a fork of the server: its end, and all that it printed."""
        output = self.root / "output"
        self._control.arm(at, kind)
        modules = str(self.root / "modules")
        request = {"arguments": list(arguments), "output": str(output), "seconds": _SECONDS, "modules": modules}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, (self.root / "server.log").read_text(encoding="utf-8")
        return json.loads(answer), output.read_text(encoding="utf-8", errors="replace")

    def _empty(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        if self._start is None:
            self.work.mkdir()
        else:
            shutil.copytree(self._start, self.work)

    def _names(self) -> list[str]:
        return names_of(self.work)

    def _differences(self, recording: Recording, when: str) -> list[str]:
        there, expected = content_of(self.work), recording.content
        missing = sorted(expected.keys() - there.keys())
        other = sorted(name for name in expected.keys() & there.keys() if expected[name] != there[name])
        told = [f"{when}missing {', '.join(missing)}"] if missing else []
        return told + ([f"{when}other content in {', '.join(other)}"] if other else [])


def thin(points: Sequence[Point]) -> list[Point]:
    """Keep the first, the middle and the last of consecutive writes to one file that has no final name yet."""
    kept = []
    for (what, name), group in groupby(points, key=lambda point: (point.what, point.name)):
        alike = list(group)
        inner = what == "w" and is_part(name) and len(alike) > 3
        kept += [alike[0], alike[len(alike) // 2], alike[-1]] if inner else alike
    return kept


def some(points: Sequence[Point], most: int | None, seed: str) -> list[Point]:
    """Draw at most that many points; all, in order, if ``most`` is None."""
    return list(points) if most is None else random.Random(seed).sample(points, min(most, len(points)))


def is_part(name: str) -> bool:
    """Tell whether a file is one that its writer meant to rename or to remove."""
    return name.endswith((".part", ".tmp")) or ".part/" in name or "/.part-" in name or "/tmp" in f"/{name}"


def judge_message(output: str, work: Path) -> list[str]:
    """Say what is wrong with the last lines of a command that met a fault."""
    lines = [line for line in output.splitlines() if line.startswith("axlstm: ")]
    if "Traceback" in output or not lines:
        return [f"no message of ours: {output[-1500:]!r}"]
    told = [line for line in lines if "error" in line or "failed" in line]
    message = "\n".join(told or lines)
    faults = []
    if _FOREIGN.search(message.replace("axlstm: error: ", "")):
        faults.append(f"a foreign error: {message!r}")
    if str(work) not in message:
        faults.append(f"no file named: {message!r}")
    if _REMEDY not in message:
        faults.append(f"not said what to do: {message!r}")
    return faults

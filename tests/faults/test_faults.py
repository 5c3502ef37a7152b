"""Whatever fails, and wherever: the command says so, and the same command again gives the undisturbed result.

A few points of each quick command are tried here, drawn from a seed; with ``-m slow`` every point, and some of the
commands that take seconds. ``python -m tests.faults`` prints the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.commands import COMMANDS, Command, make_inputs, make_ready
from tests.faults.harness import KINDS, Faults, compiler, judge_message, some

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is made for Linux (LD_PRELOAD, /proc)"),
    pytest.mark.skipif(compiler() is None, reason="the shim needs a C compiler: install cc, gcc or clang"),
]

Try = Callable[[Command, dict[str, int | None]], None]


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Try]:
    """Try some points of a command, so many of each kind of fault."""
    inputs, root = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("root")
    make_inputs(inputs)
    with Faults(root) as faults:

        def attempt(command: Command, most: dict[str, int | None]) -> None:
            start = make_ready(command, faults, inputs)
            arguments = command.arguments(inputs, faults.work)
            recording = faults.record(arguments, start)
            for kind, count in most.items():
                points = some(recording.applicable(kind, command.thins), count, f"{command.name} {kind}")
                assert points
                for point in points:
                    verdict = faults.judge(arguments, recording, point, kind)
                    assert not verdict.faults, str(verdict)
                    assert not verdict.leftovers, str(verdict)

        yield attempt


QUICK = [command for command in COMMANDS if command.seconds < 1]


@pytest.mark.parametrize("command", QUICK, ids=lambda command: command.name)
def test_some_points(command: Command, attempt: Try) -> None:
    attempt(command, dict.fromkeys(KINDS, 1))


def test_some_points_of_training(attempt: Try) -> None:
    attempt(next(command for command in COMMANDS if command.name == "pretrain"), {"kill": 2, "enospc": 1, "eio": 1})


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_all_points(command: Command, attempt: Try) -> None:
    if not command.is_possible:
        pytest.skip(f"{command.needs} is not installed")
    attempt(command, dict.fromkeys(KINDS, command.most))


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("Traceback (most recent call last):\n  File", "no message of ours"),
        ("axlstm: error: RuntimeError: /w/a failed; run the same command again", "a foreign error"),
        ("axlstm: error: [Errno 28] No space left on device; run the same command again", "no file named"),
        ("axlstm: error: /w/a: cannot be written (No space left on device)", "not said what to do"),
    ],
)
def test_messages_that_are_not_good_enough(output: str, fault: str) -> None:
    (found,) = judge_message(output, Path("/w"))
    assert found.startswith(fault)
    good = "axlstm: error: /w/a: cannot be written (No space left on device). Free some, and run the same command again"
    assert not judge_message(good, Path("/w"))

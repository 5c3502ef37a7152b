"""Runs commands in forks of a process that has imported everything: a point costs a command, not a start of torch.

Reads one JSON object a line: the arguments of a command, where its output goes, and the longest time it may take.
Answers each with its exit status (negative: the signal that ended it) and whether it ran out of time.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36


def serve() -> None:
    """Answer requests until the input ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of a killed command come here
    import torch

    import axlstm.cli.commands

    axlstm.cli.commands.make_app()
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_run(request)), file=answers, flush=True)
        _import_all(request["modules"])


def _run(request: dict[str, Any]) -> dict[str, Any]:
    child = os.fork()
    if child == 0:
        _be_the_command(request)
    ended, status = _wait(child, request["seconds"])
    orphans_seconds = _wait_for_orphans(child)
    return {"status": os.waitstatus_to_exitcode(status), "hung": not ended, "orphans_seconds": orphans_seconds}


def _be_the_command(request: dict[str, Any]) -> None:
    """Run the command in this fork, and end."""
    status = 99
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        from axlstm.cli import main

        try:
            status = main(request["arguments"])
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 98
        sys.stdout.flush()
        sys.stderr.flush()
        with open(request["modules"], "w", encoding="utf-8") as file:  # noqa: PTH123 (a shim counts calls here)
            file.write("\n".join(sys.modules))
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _wait(child: int, seconds: float) -> tuple[bool, int]:
    """Wait for a process; kill its group when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return True, status
        time.sleep(0.005)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return False, os.waitpid(child, 0)[1]


def _wait_for_orphans(group: int, seconds: float = 30.0) -> float:
    """Wait for what a command left running, and say how long that took; what stays longer is killed."""
    begin = time.monotonic()
    while True:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return time.monotonic() - begin
        if not found:
            if time.monotonic() - begin > seconds:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            time.sleep(0.02)


def _import_all(listing: str) -> None:
    """Import what a command imported, so that its next runs find it."""
    with suppress(FileNotFoundError), open(listing, encoding="utf-8") as file:  # noqa: PTH123
        for name in file.read().split():
            # LanceDB starts threads when it is imported, which a fork would not have.
            if name not in sys.modules and not name.startswith(("_", "lance")):
                with suppress(Exception):
                    importlib.import_module(name)


if __name__ == "__main__":
    serve()

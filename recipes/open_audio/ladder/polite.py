"""Run a command that other work on the machine can pause: it is stopped while a file exists, and then goes on.

    nice -n 19 python -m recipes.open_audio.ladder.polite PAUSE_FILE COMMAND...

The command and all processes that it starts are stopped by SIGSTOP and continued by SIGCONT. SIGTERM and Ctrl-C are
passed on. The exit status is the command's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_LOOK_SECONDS = 2.0


def run_politely(pause_file: Path, command: Sequence[str], look_seconds: float = _LOOK_SECONDS) -> int:
    """Run a command, stopped while ``pause_file`` exists; returns its exit status."""
    while pause_file.exists():
        time.sleep(look_seconds)
    process = subprocess.Popen(command, start_new_session=True)

    def pass_on(number: int, _: object) -> None:
        os.killpg(process.pid, signal.SIGCONT)  # a stopped process hears nothing else
        os.killpg(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    stopped = False
    try:
        while process.poll() is None:
            if pause_file.exists() != stopped:
                stopped = not stopped
                os.killpg(process.pid, signal.SIGSTOP if stopped else signal.SIGCONT)
            try:
                process.wait(look_seconds)
            except subprocess.TimeoutExpired:
                continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return process.returncode


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(str(__doc__))
    sys.exit(run_politely(Path(sys.argv[1]), sys.argv[2:]))

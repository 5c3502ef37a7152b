"""One call at a time in a folder, and what frees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from axlstm.locks import InUseError, locked

HOLD = """
import os, sys, time
from pathlib import Path
from axlstm.locks import locked
with locked(Path(sys.argv[1])):
    child = os.fork() if "fork" in sys.argv else 1
    if child == 0:
        os.write(1, b"child\\n")
        time.sleep(30)
        os._exit(0)
    os.write(1, f"held {child}\\n".encode())  # one piece, whatever the child writes
    time.sleep(60)
"""


def test_a_second_lock_in_one_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with locked(tmp_path / "folder"):
        for name in (tmp_path / "folder", Path("folder")):
            with pytest.raises(InUseError, match=f"in use by process {os.getpid()} on "), locked(name):
                pass
    with locked(tmp_path / "folder"):
        pass


def test_an_error_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


def test_a_killed_holder_frees_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().startswith(b"held")
        with pytest.raises(InUseError, match=f"in use by process {holder.pid} on .*; wait for it"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_that_outlives_the_holder_does_not_hold_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), "fork"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        lines = [holder.stdout.readline().split() for _ in range(2)]
        (child,) = (int(line[1]) for line in lines if line[0] == b"held")
        with pytest.raises(InUseError), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
        try:
            with locked(tmp_path):
                os.kill(child, 0)  # still there
        finally:
            os.kill(child, 9)

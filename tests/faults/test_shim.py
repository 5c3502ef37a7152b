"""The shim sees the writes of every library, and each of its faults is what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness import Control, compiler

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is made for Linux (LD_PRELOAD, /proc)"),
    pytest.mark.skipif(compiler() is None, reason="the shim needs a C compiler: install cc, gcc or clang"),
]

LIBRARIES = """
import os, sys, shutil
from pathlib import Path
import numpy, pyarrow, pyarrow.parquet, safetensors.numpy, soundfile, torch
out = Path(sys.argv[1])
writers = {
    "python": lambda path: path.write_bytes(bytes(100)),
    "numpy": lambda path: numpy.arange(100).tofile(path),
    "libsndfile": lambda path: soundfile.write(path, numpy.zeros(100), 16000, format="WAV"),
    "pyarrow": lambda path: pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), path),
    "torch": lambda path: torch.save(torch.zeros(100), path),
    "copy": lambda path: shutil.copyfile(__file__ if "__file__" in globals() else sys.executable, path),
}
for name, write in writers.items():
    write(out / name)
"""

ONE = """
import os, sys
path = sys.argv[1] + "/file"
descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
for _ in range(3):
    try:
        print(os.write(descriptor, b"12345678"))
    except OSError as error:
        print(error.strerror)
"""


@pytest.fixture
def control(tmp_path: Path):
    (tmp_path / "out").mkdir()
    control = Control(tmp_path, tmp_path / "out")
    yield control
    control.close()


def run(control: Control, code: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-u", "-c", code, str(out)]
    return subprocess.run(command, env=control.environment, capture_output=True, text=True, check=False)


def test_every_library_is_seen(control: Control, tmp_path: Path) -> None:
    control.arm()
    done = run(control, LIBRARIES, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    written = {point.name for point in control.points() if point.what == "w"}
    assert written == {"python", "numpy", "libsndfile", "pyarrow", "torch", "copy"}


@pytest.mark.parametrize(
    ("kind", "printed", "status", "left"),
    [
        (None, ["8", "8", "8"], 0, 24),
        ("kill", ["8"], -9, 8),
        ("torn", ["8"], -9, 12),
        ("enospc", ["8", "No space left on device", "No space left on device"], 0, 8),
        ("eio", ["8", "Input/output error", "8"], 0, 16),
        ("eacces", ["8", "8", "8"], 0, 24),
        ("short", ["8", "4", "8"], 0, 20),
    ],
)
def test_each_fault(
    control: Control, tmp_path: Path, kind: str | None, printed: list[str], status: int, left: int
) -> None:
    control.arm(2, kind)  # after the opening and one write
    done = run(control, ONE, tmp_path / "out")
    assert (done.stdout.split("\n")[:-1], done.returncode) == (printed, status)
    assert (tmp_path / "out" / "file").stat().st_size == left

"""The commands where Python lacks what only POSIX systems have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.shards.made import write_sound

TASKS = Path(__file__).parent / "data" / "hear" / "embed_stage" / "tasks"

# Modules and names that Windows does not have, gone before anything else is imported; and no folder can be opened.
PREAMBLE = """
import errno, os, signal, sys
for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None
for name in (
    "fchmod fchown chown fork forkpty pread preadv pwrite pwritev posix_fadvise posix_fallocate "
    "sched_getaffinity sched_setaffinity sched_yield getpgid killpg setsid mkfifo getloadavg"
).split():
    if hasattr(os, name):
        delattr(os, name)
for name in "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGALRM alarm setitimer pthread_sigmask sigwait".split():
    delattr(signal, name)
from axlstm.cli import main
status = main(sys.argv[1:])
assert "fcntl" not in sys.modules or sys.modules["fcntl"] is None
sys.exit(status)
"""


def run(*arguments: object) -> str:
    command = [sys.executable, "-c", PREAMBLE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_embed_prepare_and_probe_need_nothing_of_posix(tmp_path: Path) -> None:
    sounds = [write_sound(tmp_path / "sounds" / f"{number}.wav", 1.0, number) for number in range(3)]
    run("embed", *sounds, "-o", tmp_path / "out.csv")
    assert len((tmp_path / "out.csv").read_text().splitlines()) >= 3
    run("prepare", tmp_path / "sounds", tmp_path / "shards", "--held-out", "0", "--processes", "1")
    assert "3 records" in run("info", tmp_path / "shards")
    run("hear", "embed", "axlstm-tiny", TASKS / "tinyscene-v1-full", tmp_path / "embeddings")
    run("hear", "probe", tmp_path / "embeddings", "-o", tmp_path / "results", "--seeds", "1", "--protocol", "knn")
    assert list((tmp_path / "results").rglob("*.json"))


def test_the_workflow_can_be_read_and_covers_three_systems() -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((Path(__file__).parents[1] / ".github" / "workflows" / "test.yml").read_text())
    job = workflow["jobs"]["test"]
    assert [name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]] == ["ubuntu", "macos", "windows"]
    assert "bash .ci/run" in [step.get("run") for step in job["steps"]]

"""The README's long commands, killed ten times each with all of their processes, then gone on with and compared."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from axlstm.samples import sample_paths
from tests.faults.content import content_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes, which Windows has not"),
]

KILLS = 10
COMMANDS = {
    "embed": "embed recordings -o out/embeddings.parquet",
    "embed frames": "embed recordings -o out/frames.npz --frames --engine processes",
    "index": "index recordings -o out/birds.collection --window-s 1",
    "prepare": "prepare recordings out/shards --held-out 0.1 --processes 2 --shard-records 20",
    "pretrain": (
        "pretrain axlstm-tiny --data shards --workdir out/run --optimiser.global-batch 4 --optimiser.learning-rate 1e-3"
        " --optimiser.clip-norm 1 --schedule.steps 12 --checkpoints.every-steps 2 --hardware.precision float32"
    ),
    "evaluate": "evaluate axlstm-tiny logmel --tasks tasks -o out --protocol linear --seeds 2",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, shards and a task."""
    place = tmp_path_factory.mktemp("place")
    (place / "recordings").mkdir()
    sounds = sample_paths()
    for number in range(3):
        for path in sounds:
            shutil.copy(path, place / "recordings" / f"{number}_{path.name}")
    with (place / "table.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for number, path in enumerate(sorted((place / "recordings").iterdir())):
            rows.writerow([path, "ab"[number % 2], ("train", "valid", "test")[number // 2 % 3]])
    run("prepare recordings shards --held-out 0.1", place)
    run("hear make table.csv tasks --duration-s 2", place)
    return place


def start(command: str, place: Path) -> subprocess.Popen[bytes]:
    with (place / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "axlstm", *command.split()],
            cwd=place,
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run(command: str, place: Path) -> float:
    """Run a command to its end, and say how many seconds it took."""
    begin = time.monotonic()
    assert start(command, place).wait(600) == 0, (place / "log").read_text(encoding="utf-8")
    return time.monotonic() - begin


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_groups_go_on(name: str, place: Path) -> None:
    out, command = place / "out", COMMANDS[name]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    seconds = run(command, place)
    undisturbed = content_of(out)
    rng = random.Random(name)
    kills = 0
    shutil.rmtree(out)
    out.mkdir()
    while kills < KILLS:
        process = start(command, place)
        try:
            assert process.wait(rng.uniform(0.2, 0.9) * seconds) == 0, (place / "log").read_text(encoding="utf-8")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert content_of(out) == undisturbed  # it ended before its time, and begins anew
        shutil.rmtree(out)
        out.mkdir()
    run(command, place)
    assert content_of(out) == undisturbed

"""Two processes of one run, of which one is killed, is stopped, or meets a record that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from axlstm.data.shards import open_shards
from axlstm.locks import locked
from tests.pretrain.runs import make_shards

CODE = """
import sys
import axlstm.training.watch
axlstm.training.watch.PATIENCE_SECONDS = 2.0
from axlstm.cli import main
sys.exit(main(sys.argv[1:]))
"""
SETTINGS = {
    "model.depth": 1,
    "model.width": 16,
    "model.heads": 2,
    "model.patch-frames": 20,
    "hardware.device": "cpu",
    "hardware.precision": "float32",
    "hardware.threads": 1,
    "reading.workers": 1,
    "log.every-steps": 1,
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return make_shards(tmp_path_factory.mktemp("ranks"))


def start(shards: Path, workdir: Path, ranks: int = 2, **settings: int) -> list[subprocess.Popen]:
    """The ranks of ``axlstm pretrain``; each writes to ``RANK.txt`` beside the workdir."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["pretrain", "axlstm-tiny", "--data", str(shards), "--workdir", str(workdir)]
    given = {**SETTINGS, **{name.replace("__", ".").replace("_", "-"): value for name, value in settings.items()}}
    words += [str(word) for name, value in given.items() for word in (f"--{name}", value)]
    workdir.mkdir()
    started = []
    for rank in range(ranks):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if ranks > 1:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        with output_of(workdir, rank).open("wb") as output:
            command = [sys.executable, "-c", CODE, *words]
            started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT))
    return started


def output_of(workdir: Path, rank: int) -> Path:
    return workdir.with_name(f"{workdir.name}-{rank}.txt")


def wait_for(path: Path, text: str, seconds: float = 300.0) -> str:
    """The content of a file, once it holds a text."""
    end = time.monotonic() + seconds
    while text not in (content := path.read_text(encoding="utf-8") if path.exists() else ""):
        assert time.monotonic() < end, content
        time.sleep(0.05)
    return content


def test_the_other_rank_says_in_one_line_that_one_was_killed(shards, tmp_path):
    workdir = tmp_path / "run"
    ranks = start(shards, workdir, optimiser__global_batch=4, schedule__steps=100_000)
    try:
        wait_for(workdir / "metrics.jsonl", '"step": 3')
        ranks[1].kill()
        assert ranks[0].wait(300) == 1
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    output = output_of(workdir, 0).read_text()
    told = [line for line in output.splitlines() if line.startswith("axlstm: error: ")]
    assert len(told) == 1
    assert "rank 0: another process of the run has ended, or cannot be reached" in told[0]
    assert "run the same command again" in told[0]
    assert "Traceback" not in output
    with locked(workdir):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals that stop a process")
def test_a_stopped_rank_is_told_and_goes_on(shards, tmp_path):
    workdir = tmp_path / "run"
    ranks = start(shards, workdir, optimiser__global_batch=4, schedule__steps=100_000)
    try:
        wait_for(workdir / "metrics.jsonl", '"step": 3')
        ranks[1].send_signal(signal.SIGSTOP)
        told = wait_for(output_of(workdir, 0), "nothing has been finished for ")
        assert "another process of the run may be stopped" in told
        ranks[1].send_signal(signal.SIGCONT)
        for rank in ranks:
            rank.send_signal(signal.SIGTERM)
        assert [rank.wait(300) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def test_a_slice_of_one_unreadable_record_is_replaced_as_in_one_process(shards, tmp_path):
    folder = tmp_path / "shards"
    shutil.copytree(shards, folder)
    opened = open_shards(folder)
    with opened.shards[0].open("rb+") as file:
        for row in opened.table[: opened.starts[1]]:
            file.seek(int(row["offset"]) + 1000)
            file.write(np.full(100, np.nan, dtype=np.float16).tobytes())
    summaries = {}
    for count in (1, 2):
        workdir = tmp_path / f"run{count}"
        settings = {"optimiser__global_batch": 2, "optimiser__micro_batch": 1, "schedule__steps": 9}
        ranks = start(folder, workdir, count, **settings)
        assert [rank.wait(300) for rank in ranks] == [0] * count, output_of(workdir, 0).read_text()
        summaries[count] = json.loads((workdir / "summary.json").read_text())
    assert summaries[1]["skipped_records"] == summaries[2]["skipped_records"] > 0
    assert summaries[1]["validation_loss"] == pytest.approx(summaries[2]["validation_loss"], rel=1e-4)

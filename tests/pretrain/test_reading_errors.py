"""A reading error ends the command: status 1, one line that says what was wrong, no process left, the lock free."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from axlstm.data.shards import open_shards
from axlstm.locks import locked

SETTINGS = [
    "--model.depth",
    "1",
    "--model.width",
    "16",
    "--model.heads",
    "2",
    "--model.patch-frames",
    "20",
    "--hardware.device",
    "cpu",
    "--hardware.precision",
    "float32",
    "--hardware.threads",
    "1",
    "--optimiser.global-batch",
    "4",
    "--schedule.steps",
    "1000",
]

# The command, where the last rank's reader meets a shard that is gone, some batches after the start.
LOSING_A_SHARD = """
import os, sys
from axlstm.cli import main
from axlstm.data.reader import CropReader
from axlstm.data.shards import MissingShardError
read, calls = CropReader.read, []
def failing(self, epoch, *rest):
    calls.append(epoch)
    if len(calls) > 6 and os.environ.get("RANK", "0") == os.environ.get("LAST_RANK", "0"):
        raise MissingShardError("train-000001.tar: this shard is missing")
    return read(self, epoch, *rest)
CropReader.read = failing
sys.exit(main(sys.argv[1:]))
"""


def run_command(code: str, shards: Path, workdir: Path, workers: int, ranks: int = 1) -> list[tuple[int, str]]:
    """Exit status and stderr of each rank of ``axlstm pretrain``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(ranks):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LAST_RANK": str(ranks - 1)}
        if ranks > 1:
            environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        arguments = ["pretrain", "axlstm-tiny", "--data", str(shards), "--workdir", str(workdir)]
        command = [sys.executable, "-c", code, *arguments, "--reading.workers", str(workers), *SETTINGS]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate(timeout=600)[1] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (1, 1), (2, 1), (1, 2)])
def test_a_shard_that_is_gone_ends_every_process(shards, tmp_path, workers, ranks):
    for status, output in run_command(LOSING_A_SHARD, shards, tmp_path, workers, ranks):
        assert status == 1, output
        assert output.splitlines().count("axlstm: error: train-000001.tar: this shard is missing") == 1, output
        assert "Traceback" not in output
    with locked(tmp_path):
        pass


def test_records_that_are_all_nan_end_the_command(shards, tmp_path):
    folder = tmp_path / "shards"
    shutil.copytree(shards, folder)
    opened = open_shards(folder)
    for shard, path in enumerate(opened.shards):
        with path.open("rb+") as file:
            for row in opened.table[opened.starts[shard] : opened.starts[shard + 1]]:
                file.seek(int(row["offset"]) + 1000)
                file.write(np.full(100, np.nan, dtype=np.float16).tobytes())
        path.with_suffix(".records.npy").unlink()  # and with it the checksums, as in shards of an earlier version
    code = "import sys; from axlstm.cli import main; sys.exit(main(sys.argv[1:]))"
    ((status, output),) = run_command(code, folder, tmp_path / "run", workers=2)
    assert status == 1
    last = output.splitlines()[-1]
    assert last.startswith(f"axlstm: error: {folder}/train-")
    assert (
        f"holds NaN or infinity; none of 19 records of the folder can be read in its place, as {folder}/index.json"
        in last
    )
    assert "Traceback" not in output

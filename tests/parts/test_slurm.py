"""The scripts of Slurm run under a shell: all tasks, in any order, some twice, some at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import axlstm
from axlstm.cli import main
from axlstm.parts.accounts import rows_name
from tests.shards.made import write_sound


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


@pytest.fixture
def planned(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that planned five parts of nine recordings for three tasks."""
    monkeypatch.chdir(tmp_path)
    for number in range(9):
        write_sound(tmp_path / "my sounds" / f"{number}.wav", 0.5 + 0.1 * number, number)
    (tmp_path / "my sounds" / "broken.wav").write_text("no sound")
    return ["embed", "my sounds", "-o", "my out", "-m", model, "--part-files", "2"]


def run(script: Path, tasks: Sequence[int | None]) -> list[subprocess.Popen[str]]:
    """Start a script for each task at once."""
    started = []
    for task in tasks:
        own = {} if task is None else {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_CPUS_PER_TASK": "1"}
        command = ["bash", "-e", str(script)]
        environment = {**os.environ, **own}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, env=environment, cwd="/", **pipes))  # type: ignore[call-overload]
    return started


def statuses(started: list[subprocess.Popen[str]]) -> list[int]:
    told = [process.communicate(timeout=300)[0] for process in started]
    return [process.returncode if process.returncode in (0, 1) else told for process in started]  # type: ignore[misc]


def test_tasks_in_any_order_and_twice(planned: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*planned, "--runner", "slurm", "--workers", "3"]) == 0
    told = capsys.readouterr().out.splitlines()
    array, collect = tmp_path / "my out.slurm/array.sh", tmp_path / "my out.slurm/collect.sh"
    assert told[0] == "my out: 10 recordings in 5 parts; look at the scripts, then"
    assert told[1:] == [
        f"  id=$(sbatch --parsable '{array}')",
        f"  sbatch --dependency=afterany:$id '{collect}'",
    ]
    assert "#SBATCH --array=0-2\n" in array.read_text()
    assert statuses(run(array, [2, 0])) == [0, 0]
    assert statuses(run(collect, [None])) == [1]  # one task has not run
    assert main(["status", "my out"]) == 1
    assert "3 of 5 parts" in capsys.readouterr().out
    assert statuses(run(array, [1, 1, 2])) == [0, 0, 0]  # one twice at once, one again
    assert statuses(run(collect, [None])) == [0]
    by_tasks = {part: (tmp_path / "my out" / rows_name(part)).read_bytes() for part in range(5)}
    planned[3] = "by processes"
    assert main([*planned, "--workers", "1"]) == 0
    assert by_tasks == {part: (tmp_path / "by processes" / rows_name(part)).read_bytes() for part in range(5)}


def test_shares_that_are_none(planned: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["work", "my out", "--task", "3", "--tasks", "3"]) == 1
    assert "expected a task from 0 to 2" in capsys.readouterr().err
    assert main(["work", "my out"]) == 1
    assert "my out: no plan of parts there" in capsys.readouterr().err
    assert main([*planned, "--runner", "slurm", "--gpus", "1"]) == 1
    assert "are for --runner ray" in capsys.readouterr().err

"""A run that is killed or shared ends with the weights of one that is not."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from axlstm.errors import TrainingError
from axlstm.finetuning.config import AdaptConfig, AugmentConfig, FinetuneConfig, HeadConfig
from axlstm.finetuning.run import finetune
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig
from axlstm.training.metrics import read_metrics
from axlstm.training.state import saved_steps
from tests.finetuning.made import small_config

CODE = """
import json, logging, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.run import finetune
finetune(*sys.argv[2:5], FinetuneConfig.from_dict(json.loads(sys.argv[1])))
"""


class Cut(Exception):
    """Stands for whatever ends a run in the middle."""


def all_changes(**more: object) -> FinetuneConfig:
    """A run with everything that has a state: dropout, an average of the weights, random changes."""
    return small_config(
        4,
        head=HeadConfig(pooling="attention", dropout=0.2),
        adapt=AdaptConfig(ema=0.9, drop_path=0.2, frozen_steps=3),
        augment=AugmentConfig(mixup=0.5, masks=0.5, gain=0.5, shift=0.5),
        checkpoints=CheckpointConfig(every_steps=1, keep_last=2),
        **more,
    )


def weights_of(run: Path) -> str:
    """SHA-256 of what training goes on from, and of what is published."""
    newest = saved_steps(run / "checkpoints")[-1][1]
    state = torch.load(newest / "training_state.pt", weights_only=True)
    digest = hashlib.sha256()
    for name, value in sorted(state["objectives"]["network"].items()):
        digest.update(name.encode() + value.numpy().tobytes())
    for file in ("model.safetensors", "head.safetensors"):
        for name, value in sorted(load_file(run / file).items()):
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def start(config: FinetuneConfig, model: Path, data: Path, out: Path, count: int = 1) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(count):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if count > 1:
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
            environment |= {**ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        words = [sys.executable, "-c", CODE, json.dumps(config.to_dict()), str(model), str(data), str(out)]
        started.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    return started


def finish(started: list[subprocess.Popen[bytes]]) -> None:
    for process in started:
        output = process.communicate(timeout=600)[0].decode()
        assert process.returncode == 0, output


def test_a_run_that_was_cut_ends_as_one_that_was_not(model: Path, clips: Path, tmp_path: Path) -> None:
    config, table = all_changes(), clips / "table.csv"
    finetune(model, table, tmp_path / "whole", config)

    def cut(step: int, _: object) -> None:
        if step == 5:
            raise Cut

    with pytest.raises(Cut):
        finetune(model, table, tmp_path / "cut", config, on_metrics=cut)
    finetune(model, table, tmp_path / "cut", config)
    assert weights_of(tmp_path / "cut") == weights_of(tmp_path / "whole")
    lines = [
        [(one["step"], one.get("loss"), one.get("validation_score")) for one in read_metrics(tmp_path / name)]
        for name in ("whole", "cut")
    ]
    assert lines[0] == lines[1]
    for name in ("classifier.json", "report.html"):
        assert len((tmp_path / "cut" / name).read_bytes()) > 100


def test_other_clips_and_other_settings_are_refused(model: Path, clips: Path, tmp_path: Path) -> None:
    finetune(model, clips / "table.csv", tmp_path / "run", small_config(1))
    with pytest.raises(TrainingError, match=r"seed: 0 there, 3 here"):
        finetune(model, clips / "table.csv", tmp_path / "run", small_config(1, seed=3))
    lines = (clips / "table.csv").read_text().splitlines()
    (clips / "fewer.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(TrainingError, match="its run was begun on other data"):
        finetune(model, clips / "fewer.csv", tmp_path / "run", small_config(1))


def two_processes(model: Path, clips: Path, folder: Path) -> None:
    """Without what a process draws by itself, two share the sums of one."""
    optimiser = OptimiserConfig(learning_rate=1e-3, global_batch=4, micro_batch=4, clip_norm=1.0)
    config = small_config(2, augment=AugmentConfig(mixup=0.5, masks=0.5), optimiser=optimiser)
    config = replace(config, adapt=AdaptConfig(frozen_steps=2))
    finetune(model, clips / "table.csv", folder / "one", config)
    finish(start(config, model, clips / "table.csv", folder / "two", 2))
    one, two = (load_file(folder / name / "model.safetensors") for name in ("one", "two"))
    square = sum((one[name] - two[name]).double().square().sum() for name in one)
    assert float((square / sum(value.double().square().sum() for value in one.values())).sqrt()) < 1e-5
    losses = [[line["loss"] for line in read_metrics(folder / name) if "loss" in line] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_two_processes_equal_one(model: Path, clips: Path, tmp_path: Path) -> None:
    two_processes(model, clips, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_killed_ten_times_ends_with_the_same_weights(
    precision: str, model: Path, clips: Path, tmp_path: Path
) -> None:
    config = all_changes(hardware=HardwareConfig(device="cpu", precision=precision, threads=1))
    config = replace(config, schedule=replace(config.schedule, epochs=16.0))
    finish(start(config, model, clips / "table.csv", tmp_path / "whole"))
    rng, kills = random.Random(3), 0
    while kills < 10:
        (process,) = start(config, model, clips / "table.csv", tmp_path / "killed")
        path = tmp_path / "killed" / "metrics.jsonl"
        before = path.read_bytes().count(b"\n") if path.exists() else 0
        while process.poll() is None and (path.read_bytes().count(b"\n") if path.exists() else 0) < before + 3:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03))
        assert process.poll() is None, process.communicate()[0].decode()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    finish(start(config, model, clips / "table.csv", tmp_path / "killed"))
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")

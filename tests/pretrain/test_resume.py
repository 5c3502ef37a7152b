"""A run that is killed, interrupted or split ends with the weights of one that is not."""

from __future__ import annotations

import json
import logging
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from axlstm.pretrain.loop import pretrain
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig
from axlstm.training.metrics import read_metrics
from axlstm.training.state import saved_steps
from tests.pretrain.runs import Cut, Processes, cut_after, small_config, weights_hash


def in_precision(config, precision):
    return replace(config, hardware=HardwareConfig(device="cpu", precision=precision, threads=1))


def torture(tmp_path: Path, shards: Path, precision: str, count: int, steps: int, kills: int, seed: int) -> None:
    # A checkpoint after every step: much of the time is spent saving, so that kills fall into it too.
    config = in_precision(small_config(steps, checkpoints=CheckpointConfig(every_steps=1)), precision)
    Processes(config, shards, tmp_path / "whole", count).finish()
    rng = random.Random(seed)
    survived = 0
    for _ in range(kills):
        run = Processes(config, shards, tmp_path / "killed", count)
        survived += run.kill_after(tmp_path / "killed", rng.randint(1, 2), rng.uniform(0.0, 0.03))
    assert survived == kills
    Processes(config, shards, tmp_path / "killed", count).finish()
    assert weights_hash(tmp_path / "killed") == weights_hash(tmp_path / "whole")
    lines = {
        name: [(m["step"], m.get("loss"), m.get("validation_loss")) for m in read_metrics(tmp_path / name)]
        for name in ("whole", "killed")
    }
    assert lines["killed"] == lines["whole"]
    assert not list((tmp_path / "killed" / "checkpoints").glob(".part-*"))


@pytest.mark.parametrize(("precision", "count"), [("float32", 1), ("bfloat16", 2)])
def test_killed_runs_end_with_the_same_weights(tmp_path, shards, precision, count):
    torture(tmp_path, shards, precision, count, steps=60, kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_runs_killed_twelve_times_end_with_the_same_weights(tmp_path, shards, precision, count):
    torture(tmp_path, shards, precision, count, steps=300, kills=12, seed=count)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(tmp_path, shards, number):
    config = small_config(60, checkpoints=CheckpointConfig(every_steps=1000))
    whole = small_config(60, checkpoints=CheckpointConfig(every_steps=1000))
    pretrain(whole, shards, tmp_path / "whole")
    run = Processes(config, shards, tmp_path / "cut")
    while not (tmp_path / "cut" / "metrics.jsonl").exists() or len(read_metrics(tmp_path / "cut")) < 3:
        time.sleep(0.01)
    run.send(number)
    output = run.finish()
    assert "saving after this step" in output
    assert not (tmp_path / "cut" / "summary.json").exists()
    (step, _), *_ = reversed(saved_steps(tmp_path / "cut" / "checkpoints"))
    assert 3 <= step < 60
    assert f"resumed from step {step} of 60" in Processes(config, shards, tmp_path / "cut").finish()
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")


@pytest.mark.usefixtures("float16_on_the_cpu")
def test_half_precision_with_its_scaler_resumes_exactly(tmp_path, shards):
    config = in_precision(small_config(6), "float16")
    pretrain(config, shards, tmp_path / "whole")
    run = Processes(config, shards, tmp_path / "cut")
    assert run.kill_after(tmp_path / "cut", 4, 0.0)
    pretrain(config, shards, tmp_path / "cut")
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")


@pytest.mark.parametrize(("written", "precision"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_a_run_that_an_older_version_began_goes_on(written, precision, tmp_path, shards):
    config = in_precision(small_config(6), precision)
    pretrain(config, shards, tmp_path / "whole")

    with pytest.raises(Cut):
        pretrain(config, shards, tmp_path / "cut", cut_after(4))
    run = tmp_path / "cut" / "run.json"
    text = re.sub(r',\s*"crc32": "\w+"', "", run.read_text())  # which older versions did not write
    run.write_text(text.replace(f'"precision": "{precision}"', f'"precision": "{written}"'))
    assert f'"{written}"' in run.read_text()
    assert pretrain(config, shards, tmp_path / "cut")["finished"]
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")
    assert f'"precision": "{precision}"' in run.read_text()


def relative_difference(one: Path, other: Path) -> float:
    a, b = (load_file(saved_steps(path / "checkpoints")[-1][1] / "model.safetensors") for path in (one, other))
    square = sum((a[name] - b[name]).double().square().sum() for name in a)
    return float((square / sum(value.double().square().sum() for value in a.values())).sqrt())


def test_two_processes_equal_one_and_accumulation_the_bigger_batch(tmp_path, shards):
    def config(micro_batch):
        return small_config(20, optimiser=OptimiserConfig(learning_rate=1e-3, global_batch=8, micro_batch=micro_batch))

    pretrain(config(8), shards, tmp_path / "one")
    Processes(config(8), shards, tmp_path / "two", 2).finish()
    pretrain(config(2), shards, tmp_path / "accumulated")
    assert relative_difference(tmp_path / "one", tmp_path / "two") < 1e-5
    assert relative_difference(tmp_path / "one", tmp_path / "accumulated") < 1e-5
    losses = [[m["loss"] for m in read_metrics(tmp_path / name) if "loss" in m] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_another_number_of_processes_goes_on_loudly(tmp_path, shards, caplog):
    short = small_config(8, checkpoints=CheckpointConfig(every_steps=1))
    run = Processes(short, shards, tmp_path, 2)
    assert run.kill_after(tmp_path, 3, 0.0)
    with caplog.at_level(logging.WARNING):
        assert pretrain(short, shards, tmp_path)["finished"]
    assert "NOT exactly" in caplog.text


def test_under_torchrun_a_killed_process_is_started_again(tmp_path, shards):
    script = tmp_path / "train.py"
    script.write_text(
        "import json, os, signal, sys\n"
        "from pathlib import Path\n"
        "from axlstm.pretrain.config import PretrainConfig\n"
        "from axlstm.pretrain.loop import pretrain\n"
        "def die(step, values):\n"
        "    if step == 5 and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "config = PretrainConfig.from_dict(json.loads(Path(sys.argv[1]).read_text()))\n"
        "pretrain(config, Path(sys.argv[2]), Path(sys.argv[3]), die)\n"
    )
    config = small_config(9)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
    ]
    arguments = [str(script), str(tmp_path / "config.json"), str(shards), str(tmp_path / "run")]
    done = subprocess.run([*launch, *arguments], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    Processes(config, shards, tmp_path / "whole", 2).finish()
    assert weights_hash(tmp_path / "run") == weights_hash(tmp_path / "whole")

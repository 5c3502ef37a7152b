"""Runs with further objectives: they learn, go on exactly, share a batch, and publish the bare model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from axlstm.pretrain.config import (
    HardwareConfig,
    LatentConfig,
    ObjectiveConfig,
    OptimiserConfig,
    PretrainConfig,
)
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.metrics import read_metrics
from axlstm.pretrain.state import saved_steps
from tests.pretrain.runs import Processes, small_config

LATENT = LatentConfig(weight=1.0, clip_weight=0.5, layers=2, masks=2)
OBJECTIVES: dict[str, Callable[[Path], ObjectiveConfig]] = {
    "latent": lambda _: ObjectiveConfig(latent=LATENT),
    "latent_only": lambda _: ObjectiveConfig(pixel_weight=0.0, latent=replace(LATENT, masks=1)),
}
LEARNT = {"latent": ["pixels", "latent", "latent_clip"], "latent_only": ["latent"]}
each_objective = pytest.mark.parametrize("name", list(OBJECTIVES))


def config_of(name: str, shards: Path, steps: int, micro_batch: int = 4, precision: str = "float32") -> PretrainConfig:
    return small_config(
        steps,
        objective=OBJECTIVES[name](shards),
        optimiser=OptimiserConfig(learning_rate=3e-3, global_batch=8, micro_batch=micro_batch, clip_norm=1.0),
        hardware=HardwareConfig(device="cpu", precision=precision, threads=1),
    )


def newest(workdir: Path) -> Path:
    return saved_steps(workdir / "checkpoints")[-1][1]


def state_hash(workdir: Path) -> str:
    """SHA-256 of all numbers of the newest checkpoint: weights, optimiser, heads, teacher."""
    digest = hashlib.sha256()

    def take(value) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                digest.update(str(key).encode())
                take(value[key])
        elif isinstance(value, (list, tuple)):
            for content in value:
                take(content)
        elif isinstance(value, torch.Tensor):
            digest.update(value.numpy().tobytes())
        else:
            digest.update(repr(value).encode())

    take(load_file(newest(workdir) / "model.safetensors"))
    state = torch.load(newest(workdir) / "training_state.pt", weights_only=True)
    take({key: state[key] for key in ("optimiser", "objectives")})
    return digest.hexdigest()


class Cut(Exception):
    """Stands for whatever ends a run in the middle."""


@each_objective
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_cut_in_the_middle_goes_on_exactly(name, precision, shards, tmp_path):
    config = config_of(name, shards, 8, precision=precision)
    pretrain(config, shards, tmp_path / "whole")

    def cut(step, _):
        if step == 5:
            raise Cut

    with pytest.raises(Cut):
        pretrain(config, shards, tmp_path / "cut", cut)
    assert pretrain(config, shards, tmp_path / "cut")["finished"]
    assert state_hash(tmp_path / "cut") == state_hash(tmp_path / "whole")
    lines = {run: [(m["step"], m.get("loss")) for m in read_metrics(tmp_path / run)] for run in ("whole", "cut")}
    assert lines["cut"] == lines["whole"]


@each_objective
def test_every_loss_falls_and_is_reported(name, shards, tmp_path):
    pretrain(config_of(name, shards, 60), shards, tmp_path)
    metrics = read_metrics(tmp_path)
    for loss in LEARNT[name]:
        losses = [line[f"loss_{loss}"] for line in metrics if f"loss_{loss}" in line]
        assert len(losses) == 60
        assert all(math.isfinite(value) for value in losses)
        assert sum(losses[-5:]) < 0.95 * sum(losses[:5]), loss
        held_out = "validation_loss" if loss == "pixels" else f"validation_{loss}"
        assert len([line for line in metrics if held_out in line]) == 15


@each_objective
def test_the_published_weights_are_the_bare_model(name, shards, tmp_path):
    pretrain(config_of(name, shards, 2), shards, tmp_path / "run")
    pretrain(small_config(2), shards, tmp_path / "plain")
    ours, plain = (load_file(tmp_path / run / "model.safetensors") for run in ("run", "plain"))
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in plain.items()}


def relative_difference(one: Path, other: Path) -> float:
    a, b = (load_file(newest(path) / "model.safetensors") for path in (one, other))
    square = sum((a[name] - b[name]).double().square().sum() for name in a)
    return float((square / sum(value.double().square().sum() for value in a.values())).sqrt())


@each_objective
def test_two_processes_equal_one_and_accumulation_the_bigger_batch(name, shards, tmp_path):
    pretrain(config_of(name, shards, 8, micro_batch=8), shards, tmp_path / "one")
    Processes(config_of(name, shards, 8, micro_batch=8), shards, tmp_path / "two", 2).finish()
    pretrain(config_of(name, shards, 8, micro_batch=2), shards, tmp_path / "accumulated")
    assert relative_difference(tmp_path / "one", tmp_path / "two") < 1e-5
    assert relative_difference(tmp_path / "one", tmp_path / "accumulated") < 1e-5


@each_objective
def test_killed_processes_go_on_exactly(name, shards, tmp_path):
    config = config_of(name, shards, 12, precision="bfloat16")
    Processes(config, shards, tmp_path / "whole", 2).finish()
    run = Processes(config, shards, tmp_path / "killed", 2)
    assert run.kill_after(tmp_path / "killed", 5, 0.0)
    Processes(config, shards, tmp_path / "killed", 2).finish()
    assert state_hash(tmp_path / "killed") == state_hash(tmp_path / "whole")

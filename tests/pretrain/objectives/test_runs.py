"""Runs with further objectives: they learn, go on exactly, share a batch, and publish the bare model."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from axlstm.data.config import InputConfig
from axlstm.data.order import BatchPlan
from axlstm.data.reader import CropReader, Taught, WindowMaker, micro_batches
from axlstm.data.shards import open_shards
from axlstm.errors import ConfigError, DataError, TrainingError
from axlstm.pretrain.config import (
    ClipsConfig,
    LatentConfig,
    ObjectiveConfig,
    PretrainConfig,
    TeachersConfig,
    ValidationConfig,
)
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.objectives.teachers import TeacherHead
from axlstm.seals import seal_object
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig
from axlstm.training.metrics import read_metrics
from axlstm.training.state import saved_steps
from tests.pretrain.runs import SMALL, Cut, Processes, cut_after, prepare_sounds, small_config

LATENT = LatentConfig(weight=1.0, clip_weight=0.5, layers=2, masks=2)
OBJECTIVES: dict[str, Callable[[Path], ObjectiveConfig]] = {
    "latent": lambda _: ObjectiveConfig(latent=LATENT),
    "latent_only": lambda _: ObjectiveConfig(pixel_weight=0.0, latent=replace(LATENT, masks=1)),
    "teachers": lambda taught: ObjectiveConfig(
        teachers=TeachersConfig(folders=(str(taught), str(taught)), frame_weights=(0.5, 0.0), clip_weights=(0.2,))
    ),
    "vicreg": lambda _: ObjectiveConfig(clips=ClipsConfig(weight=0.5, width=32)),
    "nt-xent": lambda _: ObjectiveConfig(clips=ClipsConfig(weight=0.2, kind="nt-xent", width=32)),
    "lengths": lambda taught: ObjectiveConfig(
        crop_seconds=(0.4, 1.0, 4.0), teachers=TeachersConfig(folders=(str(taught),), frame_weights=(0.3,))
    ),
    "input": lambda _: ObjectiveConfig(
        latent=LATENT, masking="inverse-blocks", input=InputConfig(noise=0.3, mix=0.3, equaliser=0.3, speed=0.3)
    ),
    "together": lambda taught: ObjectiveConfig(
        latent=LATENT,
        crop_seconds=(1.0, 2.0),
        teachers=TeachersConfig(folders=(str(taught),), frame_weights=(0.3,)),
        clips=ClipsConfig(weight=0.2, width=32),
    ),
}
LEARNT = {
    "latent": ["pixels", "latent", "latent_clip"],
    "latent_only": ["latent"],
    "teachers": ["pixels", "teacher_frames_{}#0", "teacher_clip_{}#0", "teacher_clip_{}#1"],
    "vicreg": ["pixels", "clips"],
    "nt-xent": ["pixels", "clips"],
    "lengths": ["pixels", "teacher_frames_{}"],
    "input": ["pixels", "latent"],
    "together": ["pixels", "latent", "teacher_frames_{}", "clips"],
}
each_objective = pytest.mark.parametrize("name", list(OBJECTIVES))


def config_of(name: str, taught: Path, steps: int, micro_batch: int = 4, precision: str = "float32") -> PretrainConfig:
    """A run in batches of eight crops, or of eight pairs in one pass where they are compared."""
    objective = OBJECTIVES[name](taught)
    paired = objective.crops > 1
    batch = {"global_batch": 16, "micro_batch": 16} if paired else {"global_batch": 8, "micro_batch": micro_batch}
    return small_config(
        steps,
        objective=objective,
        optimiser=OptimiserConfig(learning_rate=3e-3, clip_norm=1.0, **batch),
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


@pytest.mark.parametrize(("name", "precision"), [*((name, "float32") for name in OBJECTIVES), ("together", "bfloat16")])
def test_a_run_cut_in_the_middle_goes_on_exactly(name, precision, shards, taught, tmp_path):
    config = config_of(name, taught, 8, precision=precision)
    pretrain(config, shards, tmp_path / "whole")

    with pytest.raises(Cut):
        pretrain(config, shards, tmp_path / "cut", cut_after(5))
    assert pretrain(config, shards, tmp_path / "cut")["finished"]
    assert state_hash(tmp_path / "cut") == state_hash(tmp_path / "whole")
    lines = {run: [(m["step"], m.get("loss")) for m in read_metrics(tmp_path / run)] for run in ("whole", "cut")}
    assert lines["cut"] == lines["whole"]


@each_objective
def test_every_loss_falls_and_is_reported(name, shards, taught, tmp_path):
    config = config_of(name, taught, 120)
    config = replace(
        config,
        optimiser=replace(config.optimiser, learning_rate=1e-2),
        validation=ValidationConfig(every_steps=40),
        checkpoints=CheckpointConfig(every_steps=1000),
    )
    pretrain(config, shards, tmp_path)
    metrics = read_metrics(tmp_path)
    for loss in (loss.format(taught.name) for loss in LEARNT[name]):
        losses = [line[f"loss_{loss}"] for line in metrics if f"loss_{loss}" in line]
        assert len(losses) == 120
        assert all(math.isfinite(value) for value in losses)
        assert sum(losses[-20:]) < 0.9 * sum(losses[:20]), loss
        held_out = "validation_loss" if loss == "pixels" else f"validation_{loss}"
        assert len([line for line in metrics if held_out in line]) == (0 if loss == "clips" else 3)


@each_objective
def test_the_published_weights_are_the_bare_model(name, shards, taught, tmp_path):
    pretrain(config_of(name, taught, 2), shards, tmp_path / "run")
    pretrain(small_config(2), shards, tmp_path / "plain")
    ours, plain = (load_file(tmp_path / run / "model.safetensors") for run in ("run", "plain"))
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in plain.items()}


def relative_difference(one: Path, other: Path) -> float:
    a, b = (load_file(newest(path) / "model.safetensors") for path in (one, other))
    square = sum((a[name] - b[name]).double().square().sum() for name in a)
    return float((square / sum(value.double().square().sum() for value in a.values())).sqrt())


@pytest.mark.parametrize("name", ["latent", "teachers", "vicreg", "nt-xent", "lengths", "input", "together"])
def test_two_processes_equal_one(name, shards, taught, tmp_path):
    config = config_of(name, taught, 6, micro_batch=8)
    pretrain(config, shards, tmp_path / "one")
    Processes(config, shards, tmp_path / "two", 2).finish()
    assert relative_difference(tmp_path / "one", tmp_path / "two") < 1e-5


@pytest.mark.parametrize("name", ["latent", "teachers"])
def test_accumulation_equals_the_bigger_batch(name, shards, taught, tmp_path):
    pretrain(config_of(name, taught, 6, micro_batch=8), shards, tmp_path / "one")
    pretrain(config_of(name, taught, 6, micro_batch=2), shards, tmp_path / "accumulated")
    assert relative_difference(tmp_path / "one", tmp_path / "accumulated") < 1e-5


def test_killed_processes_go_on_exactly(shards, taught, tmp_path):
    config = config_of("together", taught, 12, precision="bfloat16")
    Processes(config, shards, tmp_path / "whole", 2).finish()
    run = Processes(config, shards, tmp_path / "killed", 2)
    assert run.kill_after(tmp_path / "killed", 5, 0.0)
    Processes(config, shards, tmp_path / "killed", 2).finish()
    assert state_hash(tmp_path / "killed") == state_hash(tmp_path / "whole")


def test_runs_of_other_teachers_are_other_runs(shards, taught, tmp_path):
    folder = tmp_path / "taught"
    shutil.copytree(taught, folder)
    pretrain(config_of("teachers", folder, 1), shards, tmp_path / "run")
    index = json.loads((folder / "teacher.json").read_text())
    (folder / "teacher.json").write_text(json.dumps(seal_object({**index, "mean": [0.0] * 4})))
    with pytest.raises(TrainingError, match="begun on other data"):
        pretrain(config_of("teachers", folder, 1), shards, tmp_path / "run")


def test_a_teacher_that_does_not_fit_is_told_before_the_run_leaves_a_trace(shards, taught, tmp_path):
    folder = tmp_path / "taught"
    shutil.copytree(taught, folder)
    (file, *_) = folder.glob("train-*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="cut short or damaged"):
        pretrain(config_of("teachers", folder, 1), shards, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_weights_of_teachers_that_do_not_fit_are_explained():
    with pytest.raises(ConfigError, match=r"objective\.teachers\.frame_weights=\(1\.0, 2\.0\): .* each of 3 folders"):
        TeachersConfig(folders=("a", "b", "c"), frame_weights=(1.0, 2.0))
    with pytest.raises(ConfigError, match=r"objective\.teachers\.folders=\['b'\]: expected a frame weight or a clip"):
        TeachersConfig(folders=("a", "b"), frame_weights=(1.0, 0.0))
    with pytest.raises(ConfigError, match=r"objective\.teachers\.clip_weights=\(1\.0,\): .* each of 0 folders"):
        TeachersConfig(clip_weights=(1.0,))


def test_the_loss_of_a_teacher_equals_a_slow_twin_in_float64():
    head = TeacherHead(SMALL, 3, frames=True, clip=True)
    tokens = torch.randn(4, SMALL.tokens, SMALL.width, requires_grad=True)  # two masks of two crops
    present = torch.tensor([True, False])
    taught = Taught(torch.randn(2, SMALL.grid_frames, 3), torch.randn(2, 3), present)
    of_frames, of_clips = head(tokens, taught)
    gradients = torch.autograd.grad(of_frames + 3 * of_clips, [tokens, *head.parameters()])
    head.double()
    wide = tokens.detach().double().requires_grad_()
    frame_errors, clip_errors = [], []
    for row in (0, 2):  # the first crop under each mask; the second is absent
        bands = SMALL.grid_bands
        frames = [wide[row, at : at + bands].reshape(-1) for at in range(0, SMALL.tokens, bands)]
        for frame, target in zip(frames, taught.frames[0].double(), strict=True):
            frame_errors += list((head.frames(frame) - target) ** 2)
        clip_errors += list((head.clip(sum(frames) / len(frames)) - taught.clip[0].double()) ** 2)
    expected = [sum(errors) / len(errors) / 2 for errors in (frame_errors, clip_errors)]  # the absent crop counts 0
    assert (of_frames.item(), of_clips.item()) == pytest.approx([value.item() for value in expected], rel=1e-5)
    slow = torch.autograd.grad(expected[0] + 3 * expected[1], [wide, *head.parameters()])
    for ours, theirs in zip(gradients, slow, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-6, rtol=1e-4)


def test_the_loss_of_a_teacher_with_gaps_does_not_depend_on_how_a_batch_is_split():
    head = TeacherHead(SMALL, 3, frames=True, clip=True)
    tokens = torch.randn(4, SMALL.tokens, SMALL.width)
    taught = Taught(torch.randn(4, SMALL.grid_frames, 3), torch.randn(4, 3), torch.tensor([True, False, False, False]))
    whole = torch.stack(head(tokens, taught))
    parts = [torch.stack(head(tokens[at], Taught(*(part[at] for part in taught)))) for at in (slice(2), slice(2, 4))]
    torch.testing.assert_close(whole, sum(parts) / 2)


def test_a_batch_without_any_embedding_of_a_teacher_has_no_loss_of_it():
    head = TeacherHead(SMALL, 3, frames=True, clip=False)
    absent = Taught(torch.zeros(2, SMALL.grid_frames, 3), torch.zeros(2, 3), torch.tensor([False, False]))
    of_frames, of_clips = head(torch.randn(2, SMALL.tokens, SMALL.width), absent)
    assert (of_frames.item(), of_clips) == (0.0, None)


def test_a_step_has_crops_of_one_length_and_all_lengths_come(shards):
    opened = open_shards(shards)
    plan = BatchPlan(tuple(opened.starts.tolist()), 8, 0, 16, lengths=(40, 100, 400))
    reader = CropReader(opened, SMALL, 0)

    def lengths(**split) -> list[int]:
        return [b.windows.shape[1] for b in micro_batches(reader, plan, first_step=0, last_step=60, **split)]

    whole = lengths()
    assert sorted({frames: whole.count(frames) for frames in whole}) == [40, 100, 400]
    assert min(whole.count(frames) for frames in set(whole)) > 10
    assert lengths(parts=2) == [frames for frames in whole for _ in range(2)]
    assert lengths(rank=1, world_size=2) == whole


def test_crops_of_sound_have_the_lengths_of_crops_of_log_mel(shards, tmp_path):
    maker = WindowMaker(torch.device("cpu"))
    sound = prepare_sounds(shards.parent / "sounds", tmp_path / "shards", "audio")
    windows = [
        [
            maker(CropReader(open_shards(folder), SMALL, 0).at_length(frames).read(0, np.arange(6)))
            for frames in (40, 400)
        ]
        for folder in (shards, sound)
    ]
    for of_logmel, of_sound, frames in zip(*windows, (40, 400), strict=True):
        assert of_logmel.shape == of_sound.shape == (6, frames, 80)
        assert (of_logmel - of_sound).abs().mean() < 0.02


def test_lengths_that_do_not_fit_are_explained():
    for seconds in ((0.5,), (0.0,), (1.0, 2.005)):
        with pytest.raises(ConfigError, match=r"objective\.crop_seconds=.*: expected multiples of a patch, .* 0\.2 s"):
            small_config(objective=ObjectiveConfig(crop_seconds=seconds))
    with pytest.raises(ConfigError, match=r"hardware\.compile=True: expected false with objective\.crop_seconds"):
        small_config(objective=ObjectiveConfig(crop_seconds=(1.0,)), hardware=HardwareConfig(compile=True))

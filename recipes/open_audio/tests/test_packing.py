"""A packed run: it is small, it goes on where the run was, and a damaged one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from axlstm.errors import ConfigError, DataError, TrainingError
from axlstm.model.config import ModelConfig
from axlstm.pretrain.config import LatentConfig, ObjectiveConfig, PretrainConfig, ReadingConfig
from axlstm.pretrain.loop import pretrain
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig
from recipes.open_audio.ladder.packing import pack_run, unpack_run
from recipes.open_audio.tests.made import make_shards

CONFIG = PretrainConfig(
    model=ModelConfig(depth=2, width=16, heads=2, patch_frames=20),
    objective=ObjectiveConfig(loss="masked", latent=LatentConfig(weight=0.5, clip_weight=0.1, layers=2)),
    optimiser=OptimiserConfig(learning_rate=1e-3, global_batch=4),
    schedule=ScheduleConfig(steps=8, warmup_steps=0),
    reading=ReadingConfig(workers=0),
    hardware=HardwareConfig(device="cpu", precision="float32"),
    checkpoints=CheckpointConfig(every_steps=5, keep_last=9),
)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return make_shards(tmp_path)


@pytest.fixture
def packed(tmp_path: Path, shards: Path) -> Path:
    """A run of 8 steps, packed as if it had been lost after the fifth."""
    workdir = tmp_path / "run"
    pretrain(CONFIG, shards, workdir)
    whole = workdir / "checkpoints" / "step-000000008"
    aside = whole.rename(tmp_path / "step-8")
    assert pack_run(workdir, tmp_path / "packed.safetensors") == 5
    aside.rename(whole)
    return tmp_path / "packed.safetensors"


def losses(workdir: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line}


def test_an_unpacked_run_ends_nearly_where_the_run_did(tmp_path: Path, shards: Path, packed: Path) -> None:
    assert unpack_run(packed, tmp_path / "again") == CONFIG
    summary = pretrain(CONFIG, shards, tmp_path / "again")
    assert (summary["steps"], summary["finished"]) == (8, True)
    assert losses(tmp_path / "again")[8] == pytest.approx(losses(tmp_path / "run")[8], rel=0.02)


def test_it_is_half_as_large_as_the_weights_moments_and_teacher(tmp_path: Path, packed: Path) -> None:
    folder = tmp_path / "run" / "checkpoints" / "step-000000005"
    whole = sum(path.stat().st_size for path in folder.iterdir())
    assert packed.stat().st_size < whole / 2


def test_a_shorter_schedule_ends_the_run_early(tmp_path: Path, shards: Path, packed: Path) -> None:
    config = unpack_run(packed, tmp_path / "again")
    summary = pretrain(replace(config, schedule=ScheduleConfig(steps=6, warmup_steps=0)), shards, tmp_path / "again")
    assert (summary["steps"], summary["finished"]) == (6, True)


def test_a_workdir_with_checkpoints_is_refused(tmp_path: Path, packed: Path) -> None:
    with pytest.raises(ConfigError, match="new folder"):
        unpack_run(packed, tmp_path / "run")


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no checkpoint"):
        pack_run(tmp_path, tmp_path / "packed.safetensors")


def test_more_than_may_be_kept_is_refused(tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = packed.read_bytes()
    monkeypatch.setattr("recipes.open_audio.ladder.packing.MOST_BYTES", 1000)
    with pytest.raises(TrainingError, match="MB packed"):
        pack_run(tmp_path / "run", packed)
    assert packed.read_bytes() == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-1],
        lambda content: content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
        lambda content: content.replace(b"position", b"positiom"),
        lambda _: b"",
    ],
    ids=["cut", "bit", "notes", "empty"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, packed: Path, harm: Callable[[bytes], bytes]) -> None:
    packed.write_bytes(harm(packed.read_bytes()))
    with pytest.raises(DataError, match="packed"):
        unpack_run(packed, tmp_path / "again")


def test_a_run_whose_weights_do_not_fit_half_precision_is_refused(tmp_path: Path, packed: Path) -> None:
    from axlstm.checkpoints.own import load_checkpoint
    from axlstm.seals import crc_of_path

    folder = tmp_path / "run" / "checkpoints" / "step-000000008"
    checkpoint = load_checkpoint(folder)
    with torch.no_grad():
        checkpoint.model.head[0].weight[0, 0] = 1e6
    checkpoint.save(folder)
    state = torch.load(folder / "training_state.pt", weights_only=True)
    state["checksums"] = {name: crc_of_path(folder / name) for name in state["checksums"]}
    torch.save(state, folder / "training_state.pt")
    with pytest.raises(TrainingError, match="not finite in half precision"):
        pack_run(tmp_path / "run", packed)

"""A damaged checkpoint is passed over; one that the system does not give is not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from axlstm.errors import TrainingError
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.stepper import Stepper
from axlstm.training import state
from axlstm.training.position import Position
from axlstm.training.state import restore_newest
from axlstm.training.world import World
from tests.pretrain.runs import small_config

CONFIG = small_config(6)


@pytest.fixture
def run(shards: Path, tmp_path: Path) -> Path:
    """A finished run with checkpoints of step 4, the first that was validated, and of step 6."""
    pretrain(CONFIG, shards, tmp_path)
    return tmp_path


def restore(run: Path) -> Position | None:
    model = MaskedPatchModel.initialised(CONFIG.model, CONFIG.seed)
    return restore_newest(run, Stepper(model, CONFIG, World(0, 1, torch.device("cpu")), []), Position)


def flip(file: Path) -> None:
    """One bit in the middle, among the numbers."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["training_state.pt", "model.safetensors", "config.json"])
def test_one_flipped_bit_goes_back_to_the_checkpoint_before(
    name: str, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    position = restore(run)
    assert position is not None
    assert position.step == 6
    damaged = run / "checkpoints" / "step-000000006" / name
    damaged.write_bytes(damaged.read_bytes())  # `run` has a link to it, which stays whole
    flip(damaged)
    with caplog.at_level(logging.WARNING):
        position = restore(run)
    assert position is not None
    assert position.step == 4
    assert f"{damaged.parent}: damaged" in caplog.text


def test_a_checkpoint_that_cannot_be_read_is_no_damaged_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(state, "crc_of_path", refuse)
    with pytest.raises(TrainingError, match=r"step-000000006: cannot be read .Permission denied.; correct the cause"):
        restore(run)

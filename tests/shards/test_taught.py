"""Targets that are known without an encoder: some records have them, the others have no loss of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader
from axlstm.data.shards import RecordFiles, open_shards
from axlstm.data.taught import write_known_targets
from axlstm.data.teachers import Teacher
from axlstm.errors import DataError
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import ObjectiveConfig, PretrainConfig, TeachersConfig
from axlstm.pretrain.stepper import Stepper
from axlstm.pretrain.validation import Validation
from axlstm.training.config import HardwareConfig
from axlstm.training.world import joined_world
from tests.shards.made import write_sound

HOP_MS = 40.0
TIMING = (HOP_MS / 2, HOP_MS)
SOURCE = {"source": "a clock"}
CPU = HardwareConfig(device="cpu", precision="float32")
SMALL = ModelConfig(depth=2, width=16, heads=2, patch_frames=20)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(12):
        write_sound(folder / "sounds" / f"{'loud' if number % 2 else 'told'}{number}.wav", 3.0 + 0.2 * number, number)
    config = PrepareConfig(held_out=0.4, shard_records=3)
    prepare([folder / "sounds"], folder / "shards", config, processes=1)
    return folder / "shards"


def is_told(facts: dict) -> bool:
    return Path(facts["source"]).name.startswith("told")


def clock(facts: dict) -> np.ndarray | None:
    """The time of each frame, of half of the records."""
    if not is_told(facts):
        return None
    times = (np.arange(int(facts["seconds"] * 1000 / HOP_MS)) + 0.5) * HOP_MS / 1000
    return np.stack([times, times**2], axis=1)


def told(shards: Path, split: str = "train") -> list[bool]:
    opened = open_shards(shards, split)
    files = RecordFiles(opened)
    return [is_told(files.facts(record)) for record in range(len(opened))]


def test_records_with_targets_have_them_at_their_times_and_the_others_have_none(shards, tmp_path):
    index = write_known_targets(shards, tmp_path, SOURCE, 2, TIMING, clock)
    assert (index["size"], index["first_ms"], index["hop_ms"], index["skipped"]) == (2, *TIMING, 0)
    teacher = Teacher(tmp_path, open_shards(shards))
    crops = [teacher.crop(record, 50, 200, ModelConfig()) for record in range(len(told(shards)))]
    assert [crop.present for crop in crops] == told(shards)
    assert len(set(told(shards))) == 2
    for crop in crops:
        if not crop.present:
            assert not crop.frames.any()
            continue
        times_s = crop.frames[:, 0] * np.array(index["deviation"])[0] + np.array(index["mean"])[0]
        np.testing.assert_allclose(times_s, 0.5 + 0.015 + 0.04 * np.arange(50), atol=0.01)


def test_the_same_targets_are_written_once_and_others_are_refused(shards, tmp_path):
    asked = []

    def counted(facts):
        asked.append(facts["source"])
        return clock(facts)

    first = write_known_targets(shards, tmp_path, SOURCE, 2, TIMING, counted)
    count = len(asked)
    assert write_known_targets(shards, tmp_path, SOURCE, 2, TIMING, counted) == first
    assert len(asked) == count
    damaged = next(tmp_path.glob("*.safetensors"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-3])
    assert write_known_targets(shards, tmp_path, SOURCE, 2, TIMING, counted) == first
    assert damaged.read_bytes() == content
    with pytest.raises(DataError, match=r"another teaching \(encoder: .*a clock.*another"):
        write_known_targets(shards, tmp_path, {"source": "another"}, 2, TIMING, clock)


def test_targets_that_cannot_be_are_refused_with_their_record(shards, tmp_path):
    with pytest.raises(DataError, match=r"told\d+\.wav: targets of shape \(\d+, 2\), expected \(frames, 3\)"):
        write_known_targets(shards, tmp_path / "size", SOURCE, 3, TIMING, clock)
    for wrong in (np.nan, np.inf, 1e6):
        with pytest.raises(DataError, match="NaN, infinite or beyond float16"):
            write_known_targets(shards, tmp_path / "nan", SOURCE, 1, TIMING, lambda _, w=wrong: np.full((4, 1), w))
    with pytest.raises(DataError, match=r"none of 12 records can be embedded$"):
        write_known_targets(shards, tmp_path / "none", SOURCE, 2, TIMING, lambda _: None)


def test_the_held_out_loss_is_that_of_the_crops_with_targets(shards, tmp_path):
    """A head that predicts zero has the mean square of the targets as its loss, however few crops have any."""
    folders = (str(tmp_path / "clock"),)
    write_known_targets(shards, Path(folders[0]), SOURCE, 2, TIMING, clock)
    taught = TeachersConfig(folders=folders, frame_weights=(1.0,))
    config = PretrainConfig(model=SMALL, objective=ObjectiveConfig(teachers=taught), hardware=CPU)
    opened = open_shards(shards, "valid")
    teacher = Teacher(Path(folders[0]), opened)
    reader = CropReader(opened, SMALL, 0, [teacher])
    (of_teacher,) = reader.read(0, np.arange(len(opened))).taught
    with joined_world("cpu") as world:
        stepper = Stepper(MaskedPatchModel.initialised(SMALL, 0), config, world, [2])
        for parameter in stepper.heads.parameters():
            torch.nn.init.zeros_(parameter)
        losses = Validation(reader, config, world).losses(stepper)
    assert 0 < of_teacher.present.sum() < len(opened)
    expected = of_teacher.frames[of_teacher.present].square().mean().item()
    assert losses["teacher_frames_clock"] == pytest.approx(expected, rel=1e-5)


def test_an_objective_without_held_out_targets_has_no_held_out_loss(shards, tmp_path):
    out = tmp_path / "clock"
    train = set(sources(shards, "train"))
    write_known_targets(
        shards, out, SOURCE, 2, TIMING, lambda facts: clock(facts) if facts["source"] in train else None
    )
    taught = TeachersConfig(folders=(str(out),), frame_weights=(1.0,))
    config = PretrainConfig(model=SMALL, objective=ObjectiveConfig(teachers=taught), hardware=CPU)
    opened = open_shards(shards, "valid")
    reader = CropReader(opened, SMALL, 0, [Teacher(out, opened)])
    with joined_world("cpu") as world:
        stepper = Stepper(MaskedPatchModel.initialised(SMALL, 0), config, world, [2])
        assert set(Validation(reader, config, world).losses(stepper)) == {"pixels"}


def sources(shards: Path, split: str) -> list[str]:
    opened = open_shards(shards, split)
    files = RecordFiles(opened)
    return [files.facts(record)["source"] for record in range(len(opened))]

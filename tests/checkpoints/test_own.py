"""Our checkpoints hold their configuration, and weights that do not fit it are named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import axlstm
from axlstm.audio.frontend import FrontendConfig
from axlstm.checkpoints.own import Checkpoint, build_model, fingerprint, load_checkpoint
from axlstm.errors import CheckpointError, ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from tests.seeded import audio

CONFIG = ModelConfig(depth=2, width=32, heads=2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = MaskedPatchModel.initialised(CONFIG, seed=1)
    return Checkpoint(model, training={"epochs": 3}, name="small one").save(tmp_path / "model")


def edit_config(folder: Path, change: dict) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(values))


def test_round_trip_keeps_everything(saved: Path) -> None:
    original = MaskedPatchModel.initialised(CONFIG, seed=1)
    loaded = load_checkpoint(saved)
    assert loaded.model.config == CONFIG
    assert loaded.training == {"epochs": 3}
    assert loaded.name == "small one"
    for name, value in original.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name
    assert fingerprint(loaded.model, loaded.frontend) == fingerprint(original, FrontendConfig())
    assert sorted(path.name for path in saved.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]


def test_the_weights_file_stands_alone(saved: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    (saved / "model.safetensors").rename(alone)
    assert load_checkpoint(alone).model.config == CONFIG


def test_half_precision_weights_load_as_float32(tmp_path: Path) -> None:
    model = MaskedPatchModel.initialised(CONFIG, seed=1)
    saved = Checkpoint(model).save(tmp_path / "half", torch.float16)
    assert {value.dtype for value in load_file(saved / "model.safetensors").values()} == {torch.float16}
    loaded = load_checkpoint(saved)
    assert loaded.model.head[0].weight.dtype == torch.float32
    assert torch.equal(loaded.model.head[0].weight, model.head[0].weight.half().float())


def test_a_loaded_model_can_be_trained(saved: Path) -> None:
    model = load_checkpoint(saved).model
    model(torch.randn(1, 200, 80), torch.zeros(1, 250, dtype=torch.bool)).loss.backward()
    assert model.head[0].weight.grad is not None


def test_weights_that_do_not_fit_are_named(saved: Path) -> None:
    edit_config(saved, {"model": {"depth": 3}})
    with pytest.raises(CheckpointError, match=r"encoder\.blocks\.2\.norm is missing; .*; and \d+ more"):
        load_checkpoint(saved)
    edit_config(saved, {"model": {"depth": 2, "width": 64}})
    with pytest.raises(CheckpointError, match=r"encoder\.cls_token has shape \(32,\), expected \(64,\)"):
        load_checkpoint(saved)
    tensors = MaskedPatchModel.initialised(CONFIG).state_dict()
    with pytest.raises(CheckpointError, match=r"here: .*: surplus is not in the model"):
        build_model(CONFIG, {**tensors, "surplus": torch.zeros(1)}, "here")
    tensors["head.0.bias"][3] = torch.nan
    with pytest.raises(CheckpointError, match=r"head\.0\.bias holds NaN"):
        build_model(CONFIG, tensors, "here")


def test_configurations_that_cannot_be_read(saved: Path) -> None:
    content = json.loads((saved / "config.json").read_text())
    edit_config(saved, {"model": {"droppath": 0.1}})
    with pytest.raises(ConfigError, match=r"config\.json: model has unknown keys: droppath"):
        load_checkpoint(saved)
    edit_config(saved, {"color": "red"})
    with pytest.raises(CheckpointError, match="unknown keys color"):
        load_checkpoint(saved)
    (saved / "config.json").write_text(json.dumps({**content, "model": None}))
    with pytest.raises(CheckpointError, match="model: expected an object, not None"):
        load_checkpoint(saved)
    (saved / "config.json").write_text(json.dumps({**content, "format_version": "a"}))
    with pytest.raises(CheckpointError, match="format_version: expected a whole number, not 'a'"):
        load_checkpoint(saved)
    (saved / "config.json").write_text(json.dumps({**content, "frontend": {"mel_bands": 64}}))
    with pytest.raises(ConfigError, match="small one: the front end gives 64 mel bands, the model takes 80"):
        load_checkpoint(saved)
    (saved / "config.json").write_text(json.dumps(content))
    edit_config(saved, {"format_version": 99})
    with pytest.raises(CheckpointError, match="newer axlstm"):
        load_checkpoint(saved)
    (saved / "config.json").write_text("{not json")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_checkpoint(saved)
    (saved / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match='expected an object with "model_type": "axlstm"'):
        load_checkpoint(saved)
    (saved / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        load_checkpoint(saved)


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        load_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"junk" * 10)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="load the whole folder"):
        load_checkpoint(tmp_path / "bare.safetensors")


@pytest.mark.parametrize(
    "change",
    [{"depth": 10**9}, {"width": 2**30}, {"expansion": 1e18}, {"window_frames": 4 * 10**9}, {"conv_kernel": 10**15}],
)
def test_sizes_that_no_model_has_are_refused(change: dict, saved: Path) -> None:
    edit_config(saved, {"model": change})
    with pytest.raises(ConfigError, match=rf"config\.json: model: {next(iter(change))}=.*: expected .* up to \d+"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("name", 5, "a text"), ("trained", "yes", "true or false"), ("format_version", "1", "a whole number")]
    + [(key, [], "an object") for key in ("model", "frontend", "training")],
)
def test_values_of_other_kinds_are_named(key: str, value: object, expected: str, saved: Path) -> None:
    edit_config(saved, {key: value})
    with pytest.raises(CheckpointError, match=rf"config\.json: {key}: expected {expected}, not"):
        load_checkpoint(saved)


def test_json_without_bound_is_refused(saved: Path) -> None:
    for text in ("[" * 100_000, '{"model": ' * 100_000, '{"name": 1' + "0" * 5000 + "}"):
        (saved / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"config\.json: not valid JSON"):
            load_checkpoint(saved)


def test_one_content_is_one_file(tmp_path: Path) -> None:
    """Equal weights give equal bytes and so one SHA-256."""
    checkpoint = Checkpoint(MaskedPatchModel.initialised(CONFIG, seed=1), training={"ünï": 3}, name="one")
    contents = {(checkpoint.save(tmp_path / str(n)) / "model.safetensors").read_bytes() for n in range(12)}
    assert len(contents) == 1
    loaded = load_checkpoint(tmp_path / "0" / "model.safetensors")
    contents.add((loaded.save(tmp_path / "again") / "model.safetensors").read_bytes())
    assert len(contents) == 1
    with safe_open(tmp_path / "0" / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert re.fullmatch("[0-9a-f]{8}", metadata.pop("crc32"))
        assert metadata == {"format": "pt", "config.json": (tmp_path / "0" / "config.json").read_text()}


def test_a_flipped_bit_of_a_weight_is_told(saved: Path) -> None:
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged: its checksum is another one"):
        load_checkpoint(saved)


@pytest.mark.parametrize("value", [1e38, -1e7, float("inf"), float("nan")])
def test_a_weight_that_no_training_gives_is_named(value: float, saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    tensors["head.0.bias"][3] = value
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"safetensors: .*head\.0\.bias holds NaN, infinity or values beyond"):
        load_checkpoint(saved)
    tensors["head.0.bias"] = tensors["head.0.bias"].nan_to_num(0, 0, 0).int()
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"head\.0\.bias is of type torch\.int32, expected floats"):
        load_checkpoint(saved)


def test_a_description_unlike_that_in_the_weights_file_is_logged(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_checkpoint(saved)
    assert not caplog.records
    edit_config(saved, {"name": "another"})
    assert load_checkpoint(saved).name == "another"
    assert "config.json: other values than in the weights file beside it: name" in caplog.text


def test_device_and_disk_round_trip_gives_the_same_embeddings(saved: Path, tmp_path: Path) -> None:
    first = axlstm.load_model(saved)
    second = axlstm.load_model(first.save_pretrained(tmp_path / "again")).to("cpu")
    third = axlstm.Embedder.from_pretrained(tmp_path / "again")
    clip = audio(1.2, 4)
    expected = first.embed(clip, 16_000).frames
    assert (second.embed(clip, 16_000).frames == expected).all()
    assert (third.embed(clip, 16_000).frames == expected).all()
    assert first.fingerprint == second.fingerprint


def test_fingerprint_depends_on_every_weight() -> None:
    model = MaskedPatchModel.initialised(CONFIG)
    before = fingerprint(model, FrontendConfig())
    with torch.no_grad():
        model.encoder.mask_token[0] += 1e-3
    assert fingerprint(model, FrontendConfig()) != before

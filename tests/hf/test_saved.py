"""Folders go from axlstm to transformers and back without a changed bit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForAudioClassification, AutoModelForPreTraining

import axlstm
from axlstm.checkpoints.own import load_checkpoint
from axlstm.errors import CheckpointError
from axlstm.hf import AxLSTMConfig, AxLSTMForAudioClassification, AxLSTMForPreTraining, AxLSTMModel, saved
from tests.finetuning.made import save_small_model

SMALL = {"depth": 2, "width": 16, "heads": 2}


def hashes(folder: Path) -> dict[str, str]:
    files = ("config.json", "model.safetensors", "preprocessor_config.json", "classifier.json", "head.safetensors")
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files if (folder / name).exists()
    }


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForPreTraining])
@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_a_model_comes_back_byte_for_byte(auto: Any, family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    auto.from_pretrained(folders[family]).save_pretrained(tmp_path)
    assert hashes(tmp_path) == hashes(folders[family])
    assert len(hashes(tmp_path)) == 3


def test_a_model_of_transformers_comes_back_byte_for_byte(tmp_path: Path) -> None:
    torch.manual_seed(1)
    AxLSTMForPreTraining(AxLSTMConfig(model=SMALL, name="fresh")).save_pretrained(tmp_path / "theirs")
    axlstm.load_model(tmp_path / "theirs", engine=None).save_pretrained(tmp_path / "ours")
    assert hashes(tmp_path / "ours") == hashes(tmp_path / "theirs")


@pytest.mark.parametrize("pooling", ["mean", "mean+deviation", "attention"])
def test_a_classifier_comes_back_byte_for_byte(pooling: str, runs: dict[str, Path], tmp_path: Path) -> None:
    AutoModelForAudioClassification.from_pretrained(runs[pooling]).save_pretrained(tmp_path)
    assert hashes(tmp_path) == hashes(runs[pooling])
    assert len(hashes(tmp_path)) == 5


def test_the_encoder_of_a_classifier_is_the_model_of_the_run(runs: dict[str, Path], tmp_path: Path) -> None:
    AutoModelForAudioClassification.from_pretrained(runs["mean"]).encoder.save_pretrained(tmp_path)
    found, expected = (axlstm.load_model(folder, engine=None).fingerprint for folder in (tmp_path, runs["mean"]))
    assert found == expected


def test_fingerprints_do_not_depend_on_what_lies_beside(runs: dict[str, Path]) -> None:
    from safetensors import safe_open

    with safe_open(runs["mean"] / "model.safetensors", "pt") as file:
        assert any(name.startswith("classifier.") for name in file.keys())  # noqa: SIM118 (no mapping)
    assert not any(name.startswith("classifier.") for name in load_checkpoint(runs["mean"]).model.state_dict())


def test_folders_of_an_earlier_version_load_both_ways(runs: dict[str, Path], tmp_path: Path) -> None:
    checkpoint = load_checkpoint(runs["mean"])
    checkpoint.save(tmp_path)  # without the tensors of the classifier
    (tmp_path / "preprocessor_config.json").unlink()
    for name in ("classifier.json", "head.safetensors"):
        (tmp_path / name).write_bytes((runs["mean"] / name).read_bytes())
    model = AutoModelForAudioClassification.from_pretrained(tmp_path)
    expected = AutoModelForAudioClassification.from_pretrained(runs["mean"]).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert axlstm.load_classifier(tmp_path).labels == ("high", "low", "noise")


def test_a_fresh_encoder_is_saved_with_a_fresh_head(tmp_path: Path) -> None:
    model = AxLSTMModel(AxLSTMConfig(model=SMALL))
    model.save_pretrained(tmp_path)
    ours = load_checkpoint(tmp_path).model
    assert torch.equal(ours.encoder.norm.weight, model.norm.weight)
    assert ours.head[0].weight.abs().max().item() > 0


def test_another_process_writes_nothing(folder: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path, is_main_process=False)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_not_written(folder: Path, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.norm.bias[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"encoder.norm.bias holds NaN"):
        model.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_hub_id_is_fetched_as_transformers_do(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cached_file(source: str, name: str, **options: Any) -> str | None:
        asked.append((source, name, options.pop("revision", None)))
        return str(runs["mean"] / name)

    monkeypatch.setattr(saved, "cached_file", cached_file)
    model = AxLSTMForAudioClassification.from_pretrained("somebody/birds", revision="v1")
    assert [name for _, name, _ in asked] == ["config.json", "model.safetensors", "classifier.json", "head.safetensors"]
    assert {(source, revision) for source, _, revision in asked} == {("somebody/birds", "v1")}
    assert model.config.labels == ("high", "low", "noise")
    assert model.name_or_path == "somebody/birds"


def test_a_folder_in_a_folder(tmp_path: Path) -> None:
    save_small_model(tmp_path / "models" / "small")
    model = AxLSTMModel.from_pretrained(tmp_path / "models", subfolder="small")
    assert model.config.name == "small"

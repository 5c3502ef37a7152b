"""The encoder gives the frames of load_model, for each clip those that it has alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModel

import axlstm
from axlstm.errors import CheckpointError, ConfigError
from axlstm.hf import AxLSTMConfig, AxLSTMModel
from tests.finetuning.made import save_small_model

RATE = 16_000
FAMILIES = ("axlstm", "ssast")


def features(folder: Path, clips: list) -> dict[str, Tensor]:
    return dict(AutoFeatureExtractor.from_pretrained(folder)(clips, sampling_rate=RATE, return_tensors="pt"))


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_model_gives_the_numbers_of_load_model(family: str, folders: dict[str, Path], clips: list) -> None:
    model = AutoModel.from_pretrained(folders[family])
    assert type(model) is AxLSTMModel
    embedder = axlstm.load_model(folders[family], engine=None)
    with torch.no_grad():
        for clip in clips:
            out, expected = model(**features(folders[family], [clip])), embedder.embed(clip, RATE)
            assert np.abs(out.last_hidden_state[0].numpy() - expected.frames).max() <= 1e-6
            assert np.abs(out.pooler_output[0].numpy() - expected.scene).max() <= 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_has_the_numbers_that_it_has_alone(family: str, folders: dict[str, Path], clips: list) -> None:
    model = AutoModel.from_pretrained(folders[family])
    with torch.no_grad():
        together = model(**features(folders[family], clips), output_hidden_states=True)
        for number, clip in enumerate(clips):
            alone = model(**features(folders[family], [clip]), output_hidden_states=True)
            count = alone.last_hidden_state.shape[1]
            assert int(together.frame_mask[number].sum()) == count
            pairs = [(together.last_hidden_state, alone.last_hidden_state)]
            pairs += list(zip(together.hidden_states, alone.hidden_states, strict=True))
            for of_batch, of_clip in pairs:
                assert (of_batch[number, :count] - of_clip[0]).abs().max() <= 1e-5
                assert not of_batch[number, count:].any()
            assert (together.pooler_output[number] - alone.pooler_output[0]).abs().max() <= 1e-5


def test_hidden_states_are_those_of_layers(folder: Path, clips: list) -> None:
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        states = model(**features(folder, clips[1:2]), output_hidden_states=True).hidden_states
    assert len(states) == model.config.num_hidden_layers + 1
    for layer, state in enumerate(states):
        expected = axlstm.load_model(folder, engine=None, layers=layer).embed(clips[1], RATE).frames
        assert np.abs(state[0].numpy() - expected).max() <= 1e-6


def test_windows_without_sound_are_left_out_and_change_nothing(
    folder: Path, clips: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, given = AutoModel.from_pretrained(folder), features(folder, clips)
    with torch.no_grad():
        packed = model(**given)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # a compiled model computes them all
        plain = model(**given)
    assert (packed.last_hidden_state - plain.last_hidden_state).abs().max() <= 1e-5
    assert torch.equal(packed.frame_mask, plain.frame_mask)


def test_gradients_are_those_of_clips_alone(folder: Path, clips: list) -> None:
    def gradient(batches: list[list]) -> Tensor:
        model = AutoModel.from_pretrained(folder)
        for batch in batches:
            model(**features(folder, batch)).pooler_output.square().sum().backward()
        return model.blocks[0].layer.up.weight.grad

    together, alone = gradient([clips]), gradient([[clip] for clip in clips])
    assert (together - alone).abs().max() <= 1e-5 * alone.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(folder: Path, clips: list, dtype: torch.dtype) -> None:
    exact, half = AutoModel.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=dtype)
    assert half.dtype == dtype
    with torch.no_grad():
        found, expected = (model(**features(folder, clips[:1])).pooler_output for model in (half, exact))
    assert found.dtype == dtype
    assert torch.cosine_similarity(found.float(), expected).min() > 0.999


def test_a_model_in_half_precision_is_saved_in_it_and_read_by_both(folder: Path, tmp_path: Path) -> None:
    half = AutoModel.from_pretrained(folder, dtype=torch.float16)
    half.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert again.dtype == torch.float16
    ours = axlstm.load_model(tmp_path, engine=None).model.encoder.state_dict()
    assert ours["norm.weight"].dtype == torch.float32
    assert all(torch.equal(ours[name], value.float()) for name, value in half.state_dict().items())


@pytest.mark.parametrize("device_map", ["auto", "cpu", {"": "cpu"}])
def test_device_map(folder: Path, clips: list, device_map: object) -> None:
    placed, plain = AutoModel.from_pretrained(folder, device_map=device_map), AutoModel.from_pretrained(folder)
    with torch.no_grad():
        found, expected = (model(**features(folder, clips)).pooler_output for model in (placed, plain))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_compiled_model_gives_the_same_numbers(family: str, folders: dict[str, Path], clips: list) -> None:
    model, given = AutoModel.from_pretrained(folders[family]), features(folders[family], clips[:2])
    whole = family == "ssast"  # the mLSTM on a CPU looks at numbers to choose a form, which cuts the graph
    compiled = torch.compile(model, backend="eager", fullgraph=whole)
    with torch.no_grad():
        found, expected = compiled(**given).last_hidden_state, model(**given).last_hidden_state
    assert (found - expected).abs().max() <= 1e-5


def test_a_fresh_model_draws_the_weights_of_the_release() -> None:
    torch.manual_seed(0)
    model = AxLSTMModel(AxLSTMConfig(model={"depth": 2, "width": 64}))
    assert model.blocks[0].layer.forget_gate.bias.tolist() == torch.linspace(3.0, 6.0, 4).tolist()
    assert 0.9 < model.blocks[1].layer.down.weight.std().item() / (2 / 64**0.5) < 1.1
    assert not model.patches.projection.bias.any()
    assert float(model.positions.abs().max()) == 1.0
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


@pytest.mark.parametrize(
    ("shape", "mask", "told"),
    [
        ((1, 40), None, r"input_values: expected \(clips, frames, 80\), got \(1, 40\)"),
        ((1, 40, 64), None, r"got \(1, 40, 64\)"),
        ((1, 0, 80), None, r"got \(1, 0, 80\)"),
        ((1, 4, 80), [[1, 1, 1]], r"attention_mask: expected \(1, 4\), got \(1, 3\)"),
        ((1, 4, 80), [[0, 1, 1, 1]], "ones from the beginning"),
        ((1, 4, 80), [[1, 0, 1, 1]], "ones from the beginning"),
        ((1, 4, 80), [[0, 0, 0, 0]], "ones from the beginning"),
    ],
)
def test_inputs_that_are_no_clips_are_refused(folder: Path, shape: tuple, mask: list | None, told: str) -> None:
    model = AutoModel.from_pretrained(folder)
    with pytest.raises(ConfigError, match=told):
        model(torch.zeros(shape), None if mask is None else torch.tensor(mask))


def test_a_folder_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    folder = save_small_model(tmp_path)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match='expected an object with "model_type": "axlstm"'):
        AxLSTMModel.from_pretrained(folder)


def test_weights_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="do not fit the configuration"):
        AxLSTMModel.from_pretrained(folder, config=AxLSTMConfig(model={"depth": 1, "width": 16, "heads": 2}))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = save_small_model(tmp_path)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: its checksum"):
        AutoModel.from_pretrained(folder)


def test_code_in_a_folder_is_not_run(tmp_path: Path) -> None:
    folder, mark = save_small_model(tmp_path / "model"), tmp_path / "it_ran"
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w')\nclass Model: ...\n")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", '{"auto_map": {"AutoModel": "code.Model"},', 1))
    with pytest.raises(CheckpointError, match="unknown keys auto_map"):
        AutoModel.from_pretrained(folder, trust_remote_code=True)
    assert not mark.exists()

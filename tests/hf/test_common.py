"""The common tests that transformers runs on its own models, those that apply, by the names that they have there.

The library's wheel does not hold ``ModelTesterMixin``. Left out is what concerns token embeddings, generation,
attention weights and their back-ends, tensor parallelism, and devices that a test cannot count on.
"""

from __future__ import annotations

import copy
import inspect
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from axlstm.hf import AxLSTMConfig, AxLSTMForAudioClassification, AxLSTMForPreTraining, AxLSTMModel

CLASSES = (AxLSTMModel, AxLSTMForPreTraining, AxLSTMForAudioClassification)
FRAMES = 60  # a window and a half


@pytest.fixture(params=["axlstm", "ssast"])
def config(request: pytest.FixtureRequest) -> AxLSTMConfig:
    shape = {"family": request.param, "depth": 2, "width": 16, "heads": 2, "window_frames": 40}
    return AxLSTMConfig(model=shape, num_labels=3)


@pytest.fixture(params=CLASSES)
def model_class(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def model(model_class: Any, config: AxLSTMConfig) -> Any:
    torch.manual_seed(0)
    return model_class(config).eval()


def inputs(model: PreTrainedModel, labels: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    given = {"input_values": torch.randn(3, FRAMES, 80, generator=generator)}
    given["attention_mask"] = (torch.arange(FRAMES) < torch.tensor([60, 22, 41])[:, None]).long()
    if isinstance(model, AxLSTMForPreTraining):
        given["bool_masked_pos"] = torch.rand(3, 100, generator=generator) < 0.5
    if labels and isinstance(model, AxLSTMForAudioClassification):
        given["labels"] = torch.tensor([0, 1, 2])
    return given


def first(output: Any) -> Tensor:
    """The main tensor of an output."""
    found: Tensor = output.last_hidden_state if hasattr(output, "last_hidden_state") else output.logits
    return found


def loss_of(model: PreTrainedModel) -> Tensor:
    output = model(**inputs(model, labels=True))
    return output.loss if hasattr(output, "loss") else first(output).square().mean()


def test_save_load(model: Any, tmp_path: Path) -> None:
    before = first(model(**inputs(model)))
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(first(again(**inputs(model))), before)


def test_from_pretrained_no_checkpoint(model: Any) -> None:
    again = type(model).from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())


def test_torch_save_load(model: Any) -> None:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert torch.equal(first(again(**inputs(model))), first(model(**inputs(model))))


def test_deepcopy(model: Any) -> None:
    again = copy.deepcopy(model)
    with torch.no_grad():
        next(again.parameters()).add_(1)
    assert not torch.equal(next(again.parameters()), next(model.parameters()))


def test_correct_missing_keys(config: AxLSTMConfig, tmp_path: Path) -> None:
    AxLSTMForPreTraining(config).save_pretrained(tmp_path)
    _, info = AxLSTMForAudioClassification.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    head = {"mean", "deviation", "linear.weight", "linear.bias"}
    assert set(info["missing_keys"]) == {f"classifier.{name}" for name in head}
    assert not info["unexpected_keys"]
    _, info = AxLSTMModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_can_init_all_missing_weights(model_class: Any, config: AxLSTMConfig) -> None:
    """Weights that no file had are drawn as those of a fresh model."""
    torch.manual_seed(0)
    fresh, other = model_class(config).state_dict(), model_class(config).state_dict()
    found = model_class.from_pretrained(None, config=config, state_dict={}).state_dict()
    for name, value in fresh.items():
        if torch.equal(value, other[name]):  # nothing is drawn
            assert torch.equal(found[name], value), name
        elif value.numel() >= 200:
            assert 0.8 < float(found[name].std() / value.std()) < 1.25, name
        assert found[name].isfinite().all(), name


def test_initialization(model: Any) -> None:
    for name, value in model.state_dict().items():
        assert value.isfinite().all(), name


def test_determinism(model: Any) -> None:
    assert torch.equal(first(model(**inputs(model))), first(model(**inputs(model))))


def test_batching_equivalence(model: Any) -> None:
    together = first(model(**inputs(model)))
    for row in range(3):
        given = {name: value[row : row + 1] for name, value in inputs(model).items()}
        assert (first(model(**given)) - together[row : row + 1]).abs().max() <= 1e-5


def test_forward_signature(model: Any) -> None:
    names = list(inspect.signature(model.forward).parameters)
    assert names[:2] == ["input_values", "attention_mask"]


def test_model_main_input_name(model: Any) -> None:
    assert next(iter(inspect.signature(model.forward).parameters)) == model.main_input_name


def test_model_outputs_equivalence(model: Any) -> None:
    as_dict = model(**inputs(model), output_hidden_states=True)
    as_tuple = model(**inputs(model), output_hidden_states=True, return_dict=False)
    assert len(as_tuple) == len(as_dict.to_tuple())
    assert torch.equal(as_tuple[0], as_dict[0])


def test_hidden_states_output(model: Any) -> None:
    states = model(**inputs(model), output_hidden_states=True).hidden_states
    assert len(states) == model.config.num_hidden_layers + 1
    length = 15 if not isinstance(model, AxLSTMForPreTraining) else 20
    assert {tuple(state.shape) for state in states} == {(3, length, model.config.hidden_size)}
    assert model(**inputs(model)).hidden_states is None
    model.config.output_hidden_states = True
    assert model(**inputs(model)).hidden_states is not None


def test_retain_grad_hidden_states_attentions(model: Any) -> None:
    output = model(**inputs(model), output_hidden_states=True)
    output.hidden_states[0].retain_grad()
    (first(output).sum() + output.hidden_states[0].sum()).backward()
    assert output.hidden_states[0].grad is not None


def test_training(model: Any) -> None:
    model.train()
    loss_of(model).backward()
    missing = {name for name, value in model.named_parameters() if value.grad is None}
    never = {"mask_token", "encoder.mask_token"}  # nothing is hidden outside of pretraining
    never |= {"cls_token", "encoder.cls_token"} if model.config.family == "axlstm" else set()
    assert missing <= never


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_training_gradient_checkpointing(model: Any, use_reentrant: bool) -> None:
    model.train()
    loss_of(model).backward()
    expected = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    loss_of(model).backward()
    for name, gradient in expected.items():
        assert torch.equal(model.get_parameter(name).grad, gradient), name


def test_gradient_checkpointing_enable_disable(model: Any) -> None:
    assert not model.is_activation_checkpointing
    model.activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    model.activation_checkpointing_disable()
    assert not model.is_activation_checkpointing


def test_problem_types(config: AxLSTMConfig) -> None:
    for problem_type, labels in (
        ("single_label_classification", torch.tensor([0, 1, 2])),
        ("multi_label_classification", torch.eye(3)),
        ("regression", torch.randn(3, 3)),
    ):
        config.problem_type = problem_type
        model = AxLSTMForAudioClassification(config)
        loss = model(**inputs(model), labels=labels).loss
        loss.backward()
        assert loss.isfinite()


def test_load_with_mismatched_shapes(config: AxLSTMConfig, tmp_path: Path) -> None:
    AxLSTMForAudioClassification(config).save_pretrained(tmp_path)
    model = AxLSTMForAudioClassification.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True)
    assert model(**inputs(model)).logits.shape == (3, 7)


def test_keep_in_fp32_modules(config: AxLSTMConfig, tmp_path: Path) -> None:
    AxLSTMForAudioClassification(config).save_pretrained(tmp_path)
    model = AxLSTMForAudioClassification.from_pretrained(tmp_path, dtype=torch.float16)
    assert model.classifier.linear.weight.dtype == torch.float32
    assert model.encoder.norm.weight.dtype == torch.float16
    assert model(**inputs(model)).logits.dtype == torch.float32


def test_num_parameters_and_base_model(config: AxLSTMConfig) -> None:
    model = AxLSTMForAudioClassification(config)
    assert isinstance(model.base_model, AxLSTMModel)
    head = sum(value.numel() for value in model.classifier.parameters())
    assert model.num_parameters() == model.base_model.num_parameters() + head


def test_is_small(model: Any) -> None:
    assert model.num_parameters() < 1_000_000


def test_data_parallel_replicas_have_weights_of_their_own(config: AxLSTMConfig) -> None:
    """What nn.DataParallel does to a module: tables of its own, which are filled anew."""
    model: nn.Module = AxLSTMModel(config).eval()
    replica = model._replicate_for_data_parallel()  # type: ignore[operator]
    for table in ("_parameters", "_buffers", "_modules"):
        replica.__dict__[table].update(model.__dict__[table])
    replica.positions = torch.zeros_like(model.positions)
    given = inputs(model)  # type: ignore[arg-type]
    assert not torch.equal(first(replica(**given)), first(model(**given)))

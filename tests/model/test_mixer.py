"""The layer computed in the cache equals the layer as it reads: values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from axlstm.model.config import ModelConfig
from axlstm.model.mixer import mix
from axlstm.model.mixer_weights import Prepared, block_width, widen_blocks
from axlstm.model.vil import MLSTMLayer


def make_layer(
    width: int = 96, block: int = 4, gate_scale: float = 1.0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> MLSTMLayer:
    config = ModelConfig(family="axlstm", width=width, depth=1, projection_block=block)
    layer = MLSTMLayer(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        for gate in (layer.input_gate, layer.forget_gate):
            gate.weight.mul_(gate_scale)
    layer.backend = "parallel"
    return layer.to(dtype)


def random_up(layer: MLSTMLayer, batch: int, steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(steps)
    shape = (batch, steps, 2 * layer.config.inner_width)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(layer.skip.dtype).requires_grad_()


def prepared(layer: MLSTMLayer, up: Tensor) -> Prepared:
    layer.backend = "auto"
    ready = layer.prepare(up.shape[1], up.dtype)
    assert ready is not None
    return ready


def both_ways(layer: MLSTMLayer, up: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Output and all gradients: as the layer reads, and computed in the cache."""
    return with_gradients(layer, up, layer._mix(up, "parallel")), cached_way(layer, up)


def cached_way(layer: MLSTMLayer, up: Tensor) -> dict[str, Tensor]:
    return with_gradients(layer, up, mix(up, prepared(layer, up)))


def with_gradients(layer: MLSTMLayer, up: Tensor, out: Tensor) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)
    used = {name: p for name, p in layer.named_parameters() if name not in ("up.weight", "down.weight")}
    inputs = {"up": up, **used}
    gradients = torch.autograd.grad((out * weights).sum(), list(inputs.values()))
    return {"out": out.detach(), **dict(zip(inputs, gradients, strict=True))}


def assert_equal(readable: dict[str, Tensor], cached: dict[str, Tensor], tolerance: float) -> None:
    for name, expected in readable.items():
        difference = float((cached[name] - expected).abs().max()) / (1 + float(expected.abs().max()))
        assert difference <= tolerance, f"{name}: {difference:.1e}"


@pytest.mark.parametrize("steps", [1, 2, 3, 127, 128, 129, 251, 300])
def test_values_and_gradients_at_any_length(steps: int) -> None:
    layer = make_layer()
    assert_equal(*both_ways(layer, random_up(layer, 2, steps)), tolerance=1e-9)


@pytest.mark.parametrize("gate_scale", [10.0, 50.0])
def test_gates_beyond_the_range_of_the_factors(gate_scale: float) -> None:
    layer = make_layer(gate_scale=gate_scale)
    assert_equal(*both_ways(layer, random_up(layer, 3, 140)), tolerance=1e-9)


@pytest.mark.parametrize(("width", "block"), [(24, 4), (40, 4), (96, 8), (96, 48), (192, 4)])
def test_widths_and_blocks(width: int, block: int) -> None:
    layer = make_layer(width=width, block=block)
    assert_equal(*both_ways(layer, random_up(layer, 2, 33)), tolerance=1e-9)


def test_float32() -> None:
    layer = make_layer(dtype=torch.float32)
    assert_equal(*both_ways(layer, random_up(layer, 2, 251)), tolerance=2e-4)


def test_bfloat16_rounds_but_does_not_drift() -> None:
    layer = make_layer()
    up = random_up(layer, 2, 251)
    exact, _ = both_ways(layer, up)
    half = cached_way(layer.float(), up.detach().bfloat16().requires_grad_())
    for name in ("out", "up", "q.weight", "conv.weight", "v.weight", "skip"):
        cosine = torch.cosine_similarity(exact[name].flatten(), half[name].double().flatten(), dim=0)
        assert cosine > 0.998, name


def test_a_sequence_does_not_depend_on_its_neighbours() -> None:
    layer = make_layer(gate_scale=10.0, dtype=torch.float32)
    up = random_up(layer, 3, 100).detach()
    up[1] *= 0.01  # one whose factors fit beside two whose do not
    alone = torch.cat([mix(each[None], prepared(layer, up)) for each in up])
    assert torch.equal(mix(up, prepared(layer, up)), alone)


def test_the_number_of_threads_changes_no_output() -> None:
    layer = make_layer(dtype=torch.float32)
    up = random_up(layer, 5, 64)
    one, _ = mix_with_threads(layer, up, 1)
    two, gradient = mix_with_threads(layer, up, 2)
    assert torch.equal(one, two)
    assert torch.equal(mix_with_threads(layer, up, 2)[1], gradient)


def mix_with_threads(layer: MLSTMLayer, up: Tensor, threads: int) -> tuple[Tensor, Tensor]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out = mix(up, prepared(layer, up))
        (gradient,) = torch.autograd.grad(out.square().sum(), layer.q.weight)
    finally:
        torch.set_num_threads(before)
    return out.detach(), gradient


def test_not_a_number_goes_through() -> None:
    layer = make_layer(dtype=torch.float32)
    up = random_up(layer, 1, 20).detach()
    up[0, 5, 3] = torch.nan
    assert mix(up, prepared(layer, up)).isnan().any()


def test_autocast_does_not_round_what_is_kept_wide() -> None:
    layer = make_layer(dtype=torch.float32)
    up = random_up(layer, 1, 50).detach()
    plain = mix(up, prepared(layer, up))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mix(up, prepared(layer, up)), plain)


def test_widened_blocks_map_as_the_narrow_ones() -> None:
    blocks = torch.randn(6, 4, 4)
    wide = widen_blocks(blocks, 12)
    assert wide.shape == (2, 12, 12)
    assert torch.equal(torch.block_diag(*wide), torch.block_diag(*blocks))


@pytest.mark.parametrize(
    ("head_width", "block", "width"), [(96, 4, 32), (384, 4, 32), (48, 4, 24), (20, 4, 20), (96, 48, 48)]
)
def test_joined_blocks_divide_the_head(head_width: int, block: int, width: int) -> None:
    assert block_width(head_width, block) == width


def test_blocks_across_heads_are_left_to_the_readable_form() -> None:
    layer = make_layer(width=96, block=96)
    x = torch.randn(2, 9, 96, dtype=torch.float64)
    expected = layer(x)
    layer.backend = "auto"
    torch.testing.assert_close(layer(x), expected)


@torch.no_grad()
def test_a_layer_computes_with_the_weights_of_now() -> None:
    layer = make_layer(dtype=torch.float32)
    layer.backend = "auto"
    x = torch.randn(1, 20, 96)
    before = layer(x)
    layer.q.weight.data.mul_(2)  # which no version counter of the parameter sees
    after = layer(x)
    assert not torch.equal(after, before)
    layer.backend = "parallel"
    torch.testing.assert_close(after, layer(x), rtol=0, atol=1e-3)


BETWEEN = (
    *("conv.weight", "conv.bias", "q.weight", "k.weight", "v.weight", "head_norm", "skip"),
    *("input_gate.weight", "input_gate.bias", "forget_gate.weight", "forget_gate.bias"),
)


@torch.no_grad()
@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_prepared_once_until_any_number_changes(name: str, dtype: torch.dtype) -> None:
    layer = make_layer(dtype=torch.float32).requires_grad_(False)
    layer.backend = "auto"
    up = random_up(layer, 1, 8).detach().to(dtype)
    first = layer.prepare(8, dtype)
    assert first is not None
    assert layer.prepare(8, dtype) is first
    layer.get_parameter(name).view(-1).numpy()[-1] += 0.5  # through memory that torch does not watch
    second = layer.prepare(8, dtype)
    assert second is not None
    assert second is not first
    expected = copy_of(layer).prepare(8, dtype)
    assert expected is not None
    assert torch.equal(mix(up, second), mix(up, expected))


def copy_of(layer: MLSTMLayer) -> MLSTMLayer:
    copy = MLSTMLayer(layer.config)
    copy.load_state_dict(layer.state_dict())
    return copy


@torch.no_grad()
def test_prepared_weights_stay_those_of_then() -> None:
    layer = make_layer(dtype=torch.float32)
    layer.backend = "auto"
    x = torch.randn(1, 20, 96)
    before, ready = layer(x), layer.prepare(20, torch.float32)
    assert torch.equal(layer(x, ready), before)


def test_buffers_serve_with_and_without_inference_mode() -> None:
    layer = make_layer(dtype=torch.float32)
    up = random_up(layer, 2, 30).detach()
    with torch.inference_mode():
        inside = mix(up, prepared(layer, up)).clone()
    assert torch.equal(mix(up, prepared(layer, up)), inside)

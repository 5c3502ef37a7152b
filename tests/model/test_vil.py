"""The layer computes what its slow twin, written step by step, computes; gradients included."""

from __future__ import annotations

import pytest
import torch

import axlstm
from axlstm.model.config import ModelConfig
from axlstm.model.vil import AxLSTMBlock, BlockDiagonalLinear, CausalConv, MLSTMLayer
from benchmarks.released import ReleasedEmbedder, ReleasedLayer


def layer_with_busy_gates(config: ModelConfig) -> MLSTMLayer:
    torch.manual_seed(0)
    layer = MLSTMLayer(config).double()
    layer.reset_parameters()
    with torch.no_grad():
        layer.input_gate.weight.normal_(std=0.3)
        layer.forget_gate.weight.normal_(std=0.3)
        layer.head_norm.normal_(std=0.1)
    return layer


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(width=48, heads=2),
        ModelConfig(width=64, heads=4, expansion=1.0, conv_kernel=3),
        ModelConfig(width=48, heads=1, projection_block=8),
    ],
)
@pytest.mark.parametrize("steps", [1, 2, 5, 130, 251])
def test_layer_equals_its_slow_twin(config: ModelConfig, steps: int) -> None:
    layer = layer_with_busy_gates(config)
    x = torch.randn(2, steps, config.width, dtype=torch.float64)

    def run(module: torch.nn.Module) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        out = module(leaf)
        gradients = torch.autograd.grad(out.square().sum(), [leaf, *layer.parameters()])
        return [out.detach(), *gradients]

    for got, expected in zip(run(layer), run(ReleasedLayer(layer)), strict=True):
        assert (got - expected).abs().max() <= 1e-9 * (1 + expected.abs().max())


def test_the_released_algorithm_gives_the_embeddings_of_the_published_layout() -> None:
    small = {"depth": 2, "width": 64, "heads": 2}
    embedder = axlstm.create_model("axlstm-tiny", layout="published", **small)
    released = axlstm.create_model("axlstm-tiny", **small)
    released.model.load_state_dict(embedder.model.state_dict())
    waveform = 0.1 * torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(embedder.embed(waveform, 16_000).frames)
    torch.testing.assert_close(ReleasedEmbedder(released).embed(waveform), expected, atol=1e-5, rtol=1e-4)


def test_reversed_block_is_the_block_of_the_reversed_sequence() -> None:
    config = ModelConfig(width=32, heads=2)
    forward, backward = AxLSTMBlock(config, reverse=False), AxLSTMBlock(config, reverse=True)
    forward.reset_parameters()
    backward.load_state_dict(forward.state_dict())
    x = torch.randn(2, 20, 32)
    torch.testing.assert_close(backward(x), forward(x.flip(1)).flip(1))


def test_convolution_sees_the_past_only() -> None:
    conv = CausalConv(3, 4)
    conv.reset_parameters()
    x = torch.randn(1, 10, 3)
    y = conv(x)
    expected = sum(conv.weight[:, 0, tap] * x[0, 6 - 3 + tap] for tap in range(4)) + conv.bias
    torch.testing.assert_close(y[0, 6], expected)
    x[0, 7:] += 1
    torch.testing.assert_close(conv(x)[0, :7], y[0, :7])


def test_block_diagonal_map_is_a_matrix_and_its_pull_back_the_transpose() -> None:
    linear = BlockDiagonalLinear(12, 4)
    torch.nn.init.normal_(linear.weight)
    x, rows = torch.randn(5, 12), torch.randn(2, 12)
    torch.testing.assert_close(linear(x), x @ torch.block_diag(*linear.weight).T)
    torch.testing.assert_close(linear(x) @ rows.T, x @ linear.pull_back(rows).T)

"""Stacked probes are the plain probe trained with torch's own optimiser, gradients included."""

import numpy as np
import pytest
import torch

from axlstm.evaluate.probes.exact import build_probe
from axlstm.evaluate.probes.protocol import ProbeConfig
from axlstm.evaluate.probes.selection import probe_loss
from axlstm.evaluate.probes.stacked import StackedProbe, _dropout_mask


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("is_multiclass", [True, False])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_equals_the_plain_probe(layers: int, is_multiclass: bool, offset: float) -> None:
    torch.manual_seed(1)
    configs = [ProbeConfig(hidden_layers=layers, hidden_dim=16, dropout=0.0, lr=lr) for lr in (1e-3, 1e-3, 1e-2)]
    inputs = torch.randn(20, 12) + offset
    target = torch.eye(5)[torch.arange(20) % 5] if is_multiclass else (torch.rand(20, 5) < 0.4).float()
    stack = StackedProbe(configs, [3, 4, 5], inputs.mean(dim=0), classes=5, compute_dtype=torch.float32)
    first = [stack.member_state(member) for member in range(3)]
    for _ in range(15):
        stack.train_step(stack.prepare(inputs), target.t().contiguous(), is_multiclass)
    stack.keep_members([0, 2])
    for _ in range(15):
        stack.train_step(stack.prepare(inputs), target.t().contiguous(), is_multiclass)
    found = stack.predict(stack.prepare(inputs))

    for member, (config, state) in enumerate([(configs[0], first[0]), (configs[2], first[2])]):
        # In float64, because Adam turns the rounding errors of a zero gradient (the bias in front of a
        # batch normalisation) into steps.
        probe = build_probe(config, 12, 5)
        probe.load_state_dict(state)
        probe.double()
        optimiser = torch.optim.Adam(probe.parameters(), lr=config.lr)
        for _ in range(30):
            optimiser.zero_grad()
            probe_loss(probe(inputs.double()), target.double(), is_multiclass).backward()
            optimiser.step()
        expected = probe.eval()(inputs.double()).detach().float()
        torch.testing.assert_close(found[member], expected, atol=2e-4, rtol=1e-3)
        loaded = build_probe(config, 12, 5).eval()
        loaded.load_state_dict(stack.member_state(member))
        torch.testing.assert_close(loaded(inputs).detach(), found[member], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_equal_autograd_with_the_same_dropout(layers: int) -> None:
    config = ProbeConfig(hidden_layers=layers, hidden_dim=16, dropout=0.25, lr=0.0)
    inputs = torch.randn(20, 12)
    target = torch.eye(5)[torch.arange(20) % 5]
    stack = StackedProbe([config, config], [3, 4], inputs.mean(dim=0), classes=5, compute_dtype=torch.float32)
    twin = StackedProbe([config, config], [3, 4], inputs.mean(dim=0), classes=5, compute_dtype=torch.float32)
    stack.train_step(stack.prepare(inputs), target.t().contiguous(), is_multiclass=True)

    for member in range(2):
        probe = build_probe(config, 12, 5)
        probe.load_state_dict(twin.member_state(member))
        values = inputs
        masks = [_dropout_mask(twin.noise[member], 0.75, torch.empty(16, 20)) for _ in range(layers)]
        for layer, mask in enumerate(masks):
            values = probe[4 * layer + 1](probe[4 * layer](values)) * mask.t() / 0.75
            values = torch.relu(values)
        probe_loss(probe[-1](values), target, is_multiclass=True).backward()
        for name, parameter in probe.named_parameters():
            if name in stack.gradient:
                torch.testing.assert_close(stack.gradient[name][member], parameter.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keep", [0.9, 0.75])
def test_dropout_keeps_its_share(dtype: torch.dtype, keep: float) -> None:
    mask = _dropout_mask(np.random.Generator(np.random.SFC64(0)), keep, torch.empty(301, 1001, dtype=dtype))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.float().mean().item() == pytest.approx(keep, abs=4 * (keep * (1 - keep) / 301301) ** 0.5)


def test_bfloat16_stays_close_under_a_large_common_offset() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(200, 64) + 100.0
    target = torch.eye(4)[inputs[:, :4].argmax(dim=1)]
    config = ProbeConfig(hidden_dim=64, dropout=0.0, lr=1e-3)
    stacks = [
        StackedProbe([config], [0], inputs.mean(dim=0), classes=4, compute_dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    for stack in stacks:
        for _ in range(50):
            stack.train_step(stack.prepare(inputs), target.t().contiguous(), is_multiclass=True)
    plain, fast = (stack.predict(stack.prepare(inputs))[0] for stack in stacks)
    assert (plain.argmax(dim=1) == fast.argmax(dim=1)).float().mean() > 0.97


@pytest.mark.parametrize("initialization", ["xavier_uniform_", "xavier_normal_"])
def test_first_weights_are_distributed_as_the_plain_probes(initialization: str) -> None:
    config = ProbeConfig(hidden_layers=2, hidden_dim=300, initialization=initialization)
    stack = StackedProbe([config], [0], torch.zeros(200), classes=50, compute_dtype=torch.float32)
    expected = build_probe(config, 200, 50).state_dict()
    found = stack.member_state(0)
    assert set(found) == set(expected)
    for name, value in expected.items():
        if value.numel() > 1:
            assert found[name].std().item() == pytest.approx(value.std().item(), rel=0.2), name
            assert found[name].abs().max().item() == pytest.approx(value.abs().max().item(), rel=0.2), name

"""Every form of the mLSTM computes one function, gradients included."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.mlstm import backends, mlstm, mlstm_chunkwise, mlstm_recurrent

GATES = {
    "normal": lambda noise: noise,
    "open": lambda noise: noise + 4,
    "+50": lambda noise: torch.full_like(noise, 50),
    "-50": lambda noise: torch.full_like(noise, -50),
    "+-50": lambda noise: 50 * noise.sign(),
}


def inputs(steps: int, width: int, *, igate: str = "normal", fgate: str = "open", batch: int = 2, heads: int = 2):
    """q, k, v, gates in float64, with q and k positive: a normaliser that nearly cancels would make h itself
    depend on the last bit, whatever computes it."""
    rng = torch.Generator().manual_seed(steps * 1000 + width)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    q, k = noise(batch, heads, steps, width).abs(), noise(batch, heads, steps, width).abs()
    v = noise(batch, heads, steps, width)
    return q, k, v, GATES[igate](noise(batch, heads, steps)), GATES[fgate](noise(batch, heads, steps))


def values_and_gradients(backend: str, tensors: tuple) -> list[torch.Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    h = mlstm(*leaves, backend=backend)
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return [h.detach(), *torch.autograd.grad((h * weights).sum(), leaves)]


def assert_forms_agree(tensors: tuple) -> None:
    reference = values_and_gradients("parallel", tensors)
    for backend in backends():
        for got, expected in zip(values_and_gradients(backend, tensors), reference, strict=True):
            scale = 1 + expected.abs().max()
            assert (got - expected).abs().max() <= 1e-10 * scale


@pytest.mark.parametrize("steps", [1, 2, 3, 17, 64, 251, 1024])
@pytest.mark.parametrize("width", [24, 96])
def test_forms_agree_over_lengths(steps: int, width: int) -> None:
    assert_forms_agree(inputs(steps, width, batch=1))


@pytest.mark.parametrize("width", [192, 256, 384, 512, 640])
def test_forms_agree_over_head_widths(width: int) -> None:
    assert_forms_agree(inputs(19, width, batch=1))


@pytest.mark.parametrize("igate", GATES)
@pytest.mark.parametrize("fgate", GATES)
def test_forms_agree_at_extreme_gates(igate: str, fgate: str) -> None:
    assert_forms_agree(inputs(130, 24, igate=igate, fgate=fgate))


def test_definition_on_two_steps_by_hand() -> None:
    q, k, v, igate, fgate = inputs(2, 24)
    h = mlstm(q, k, v, igate, fgate)
    decay = torch.sigmoid(fgate[..., 1]) * torch.exp(igate[..., 0])  # of step 0 as seen from step 1
    scores = (q[..., 1:, :] * k).sum(-1) / 24**0.5 * torch.stack([decay, torch.exp(igate[..., 1])], dim=-1)
    expected = (scores.unsqueeze(-1) * v).sum(-2) / torch.clamp(scores.sum(-1).abs(), min=1)[..., None]
    torch.testing.assert_close(h[..., 1, :], expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    tensors = tuple(tensor.requires_grad_() for tensor in inputs(5, 24, batch=1, heads=1))
    assert torch.autograd.gradcheck(lambda *args: mlstm(*args), tensors, eps=1e-6, atol=1e-6, fast_mode=True)


def test_gates_beyond_the_factors_range_go_another_way() -> None:
    q, k, v, igate, fgate = (tensor.float() for tensor in inputs(60, 24, igate="+-50", fgate="+-50"))
    got, expected = (mlstm(q, k, v, igate, fgate, backend=backend) for backend in ("factored", "parallel"))
    assert torch.equal(got, expected)


def test_neighbours_in_a_batch_do_not_choose_the_way() -> None:
    calm, wild = inputs(60, 24, batch=1), inputs(60, 24, igate="+-50", fgate="+-50", batch=1)
    together = tuple(torch.cat(pair) for pair in zip(calm, wild, calm, strict=True))
    h = mlstm(*together, backend="factored")
    for row, tensors in enumerate((calm, wild, calm)):
        assert torch.equal(h[row], mlstm(*tensors, backend="factored")[0])
    assert_forms_agree(together)


STATEFUL = {"recurrent": mlstm_recurrent, "chunkwise": partial(mlstm_chunkwise, chunk_steps=8)}


@pytest.mark.parametrize("cut", [1, 10, 36])
@pytest.mark.parametrize("first_form", STATEFUL)
@pytest.mark.parametrize("second_form", STATEFUL)
def test_state_carries_the_past_between_forms(cut: int, first_form: str, second_form: str) -> None:
    tensors = inputs(37, 48)
    whole, last = mlstm_recurrent(*tensors)
    first, state = STATEFUL[first_form](*(x[:, :, :cut] for x in tensors))
    second, end = STATEFUL[second_form](*(x[:, :, cut:] for x in tensors), state=state)
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole, rtol=1e-11, atol=1e-11)
    for got, expected in zip(end, last, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("chunk_steps", [1, 3, 64, 1000])
def test_the_size_of_chunks_does_not_matter(chunk_steps: int) -> None:
    tensors = inputs(70, 24)
    h, _ = mlstm_chunkwise(*tensors, chunk_steps=chunk_steps)
    torch.testing.assert_close(h, mlstm(*tensors), rtol=1e-11, atol=1e-11)
    with pytest.raises(ConfigError, match="chunk_steps=0"):
        mlstm_chunkwise(*tensors, chunk_steps=0)


def test_the_future_does_not_reach_the_past() -> None:
    q, k, v, igate, fgate = inputs(20, 24)
    before = mlstm(q, k, v, igate, fgate)
    v[:, :, 12:] += 100
    igate[:, :, 12:] += 5
    after = mlstm(q, k, v, igate, fgate)
    torch.testing.assert_close(before[:, :, :12], after[:, :, :12], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("igate", GATES)
@pytest.mark.parametrize("fgate", GATES)
def test_half_precision_stays_finite_and_near(backend: str, dtype: torch.dtype, igate: str, fgate: str) -> None:
    tensors = inputs(70, 48, igate=igate, fgate=fgate)
    expected = mlstm(*tensors, backend=backend)
    half = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    h = mlstm(*half, backend=backend)
    assert h.dtype == dtype
    assert h.isfinite().all()
    torch.testing.assert_close(h.double(), expected, rtol=0.05, atol=0.05)
    for gradient in torch.autograd.grad(h.float().sum(), half):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("backend", backends())
def test_values_beyond_half_precision_saturate(backend: str) -> None:
    q, k, v, igate, fgate = (tensor.half() for tensor in inputs(8, 24, igate="-50"))
    h = mlstm(q, -k, v * 1e4, igate, fgate, backend=backend)
    assert h.isfinite().all()


def test_input_that_does_not_fit_is_named() -> None:
    q, k, v, igate, fgate = inputs(4, 24)
    with pytest.raises(ConfigError, match="'triton9': expected one of parallel, factored, chunkwise, recurrent"):
        mlstm(q, k, v, igate, fgate, backend="triton9")
    with pytest.raises(ConfigError, match="without a zero"):
        mlstm(*(x[:, :, :0] for x in (q, k, v, igate, fgate)))
    with pytest.raises(ConfigError, match=r"igate, fgate: expected \(2, 2, 4\), got \(2, 2, 3\)"):
        mlstm(q, k, v, igate[..., :3], fgate)
    with pytest.raises(ConfigError, match="one floating dtype"):
        mlstm(q, k.float(), v, igate, fgate)
    with pytest.raises(ConfigError, match="one device"):
        mlstm(q.to("meta"), k, v, igate, fgate)

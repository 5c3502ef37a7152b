"""Every form of the mLSTM computes one function, gradients included."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.mlstm import backends, mlstm, mlstm_chunkwise, mlstm_recurrent
from axlstm.mlstm.triton import mlstm_triton
from tests.mlstm.conftest import INTERPRETED

FUSED = {"triton": 0, "triton in chunks": 64}
FORMS = [name for name in backends() if name != "triton"]
interpreted = pytest.mark.skipif(
    not INTERPRETED, reason="needs Triton and no GPU; with one, tests/test_device.py is run"
)

GATES = {
    "normal": lambda noise: noise,
    "open": lambda noise: noise + 4,
    "+50": lambda noise: torch.full_like(noise, 50),
    "-50": lambda noise: torch.full_like(noise, -50),
    "+-50": lambda noise: 50 * noise.sign(),
}


def inputs(steps: int, width: int, *, igate: str = "normal", fgate: str = "open", batch: int = 1, heads: int = 2):
    """q, k, v, gates in float64, with q and k positive: a normaliser that nearly cancels would make h itself
    depend on the last bit, whatever computes it."""
    rng = torch.Generator().manual_seed(steps * 1000 + width)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    q, k = noise(batch, heads, steps, width).abs(), noise(batch, heads, steps, width).abs()
    v = noise(batch, heads, steps, width)
    return q, k, v, GATES[igate](noise(batch, heads, steps)), GATES[fgate](noise(batch, heads, steps))


def compute(form: str, tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    return mlstm_triton(*tensors, chunk_steps=FUSED[form]) if form in FUSED else mlstm(*tensors, backend=form)


def values_and_gradients(form: str, tensors: tuple) -> list[torch.Tensor]:
    """h and its gradients with respect to all five, in float64."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    h = compute(form, leaves)
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    gradients = torch.autograd.grad((h * weights.to(h)).sum(), leaves)
    return [x.detach().double() for x in (h, *gradients)]


def assert_forms_agree(tensors: tuple, forms: Iterable[str] = FORMS) -> None:
    reference = values_and_gradients("parallel", tensors)
    for form in forms:
        # The kernels compute in float32, where F (the sum of log forget gates) ends at 2^-24 of its size.
        f_size = torch.nn.functional.logsigmoid(tensors[4]).sum(-1).abs().max().item()
        tolerance = 1e-5 + 2**-23 * f_size if form in FUSED else 1e-10
        given = tuple(x.float() for x in tensors) if form in FUSED else tensors
        for got, expected in zip(values_and_gradients(form, given), reference, strict=True):
            scale = 1 + expected.abs().max()
            assert (got - expected).abs().max() <= tolerance * scale, form


@pytest.mark.parametrize("steps", [1, 2, 3, 17, 64, 251, 1024])
@pytest.mark.parametrize("width", [24, 96])
def test_forms_agree_over_lengths(steps: int, width: int) -> None:
    assert_forms_agree(inputs(steps, width))


@pytest.mark.parametrize("width", [16, 192, 256, 384, 512, 640])
def test_forms_agree_over_head_widths(width: int) -> None:
    assert_forms_agree(inputs(19, width))


@interpreted
@pytest.mark.parametrize("steps", [1, 2, 3, 17, 64, 65, 150])
def test_kernels_agree_over_lengths(steps: int) -> None:
    assert_forms_agree(inputs(steps, 24), FUSED)


@interpreted
@pytest.mark.parametrize("form", FUSED)
@pytest.mark.parametrize("width", [16, 96, 192, 256, 384, 512, 640])
def test_kernels_agree_over_head_widths(width: int, form: str) -> None:
    assert_forms_agree(inputs(66 if FUSED[form] else 19, width, heads=1), [form])


@interpreted
@pytest.mark.parametrize("igate", ["+50", "-50", "+-50"])
@pytest.mark.parametrize("fgate", ["+50", "-50", "+-50"])
def test_kernels_agree_at_extreme_gates(igate: str, fgate: str) -> None:
    assert_forms_agree(inputs(70, 24, igate=igate, fgate=fgate, heads=1), ["triton in chunks"])


@interpreted
def test_kernels_take_views_of_heads_and_any_strides() -> None:
    q, k, v, igate, fgate = (x.float() for x in inputs(20, 24, batch=2, heads=3))
    expected = mlstm_triton(q, k, v, igate, fgate)
    by_step = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]  # as the encoders hand them over
    got = mlstm_triton(*by_step, igate, fgate)
    assert torch.equal(got, expected)
    assert got.stride() == by_step[0].stride()
    assert torch.equal(mlstm_triton(by_step[0], k, v, igate, fgate), expected)


@interpreted
def test_kernels_are_one_operation_of_a_compiled_graph() -> None:
    tensors = [x.float().requires_grad_() for x in inputs(20, 24)]
    compiled = torch.compile(mlstm_triton, backend="aot_eager", fullgraph=True)
    got, expected = compiled(*tensors), mlstm_triton(*tensors)
    assert torch.equal(got, expected)
    for ours, reference in zip(
        torch.autograd.grad(got.sum(), tensors), torch.autograd.grad(expected.sum(), tensors), strict=True
    ):
        assert torch.equal(ours, reference)


@interpreted
def test_kernels_repeat_their_bits() -> None:
    tensors = tuple(x.float() for x in inputs(66, 24))
    once, again = (values_and_gradients("triton in chunks", tensors) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


@interpreted
def test_what_the_kernels_cannot_compute_is_named() -> None:
    q, k, v, igate, fgate = inputs(4, 24)
    with pytest.raises(ConfigError, match="float32, bfloat16 and float16, not float64"):
        mlstm(q, k, v, igate, fgate, backend="triton")
    wide = (torch.zeros(1, 1, 4, 641),) * 3
    gates = (torch.zeros(1, 1, 4),) * 2
    with pytest.raises(ConfigError, match="head width of 640, not 641"):
        mlstm(*wide, *gates, backend="triton")
    with pytest.raises(ConfigError, match="multiple of 64"):
        mlstm_triton(*(x[..., :24].contiguous() for x in wide), *gates, chunk_steps=10)


@pytest.mark.parametrize("igate", GATES)
@pytest.mark.parametrize("fgate", GATES)
def test_forms_agree_at_extreme_gates(igate: str, fgate: str) -> None:
    assert_forms_agree(inputs(130, 24, igate=igate, fgate=fgate, heads=1))


def test_definition_on_two_steps_by_hand() -> None:
    q, k, v, igate, fgate = inputs(2, 24)
    h = mlstm(q, k, v, igate, fgate)
    decay = torch.sigmoid(fgate[..., 1]) * torch.exp(igate[..., 0])  # of step 0 as seen from step 1
    scores = (q[..., 1:, :] * k).sum(-1) / 24**0.5 * torch.stack([decay, torch.exp(igate[..., 1])], dim=-1)
    expected = (scores.unsqueeze(-1) * v).sum(-2) / torch.clamp(scores.sum(-1).abs(), min=1)[..., None]
    torch.testing.assert_close(h[..., 1, :], expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    tensors = tuple(tensor.requires_grad_() for tensor in inputs(5, 24, heads=1))
    assert torch.autograd.gradcheck(lambda *args: mlstm(*args), tensors, eps=1e-6, atol=1e-6, fast_mode=True)


def test_gates_beyond_the_factors_range_go_another_way() -> None:
    q, k, v, igate, fgate = (tensor.float() for tensor in inputs(60, 24, igate="+-50", fgate="+-50"))
    got, expected = (mlstm(q, k, v, igate, fgate, backend=backend) for backend in ("factored", "parallel"))
    assert torch.equal(got, expected)


def test_neighbours_in_a_batch_do_not_choose_the_way() -> None:
    calm, wild = inputs(60, 24), inputs(60, 24, igate="+-50", fgate="+-50")
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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("igate", GATES)
@pytest.mark.parametrize("fgate", GATES)
def test_half_precision_stays_finite_and_near(form: str, dtype: torch.dtype, igate: str, fgate: str) -> None:
    assert_half_precision_is_finite_and_near(form, dtype, igate, fgate)


@interpreted
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("igate", "fgate"), [("normal", "open"), ("+50", "-50"), ("-50", "+50"), ("+-50", "+-50")])
def test_kernels_in_half_precision_stay_finite_and_near(dtype: torch.dtype, igate: str, fgate: str) -> None:
    assert_half_precision_is_finite_and_near("triton in chunks", dtype, igate, fgate)


def assert_half_precision_is_finite_and_near(form: str, dtype: torch.dtype, igate: str, fgate: str) -> None:
    tensors = inputs(70, 48, igate=igate, fgate=fgate, heads=1)
    expected = mlstm(*tensors)
    half = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    h = compute(form, half)
    assert h.dtype == dtype
    assert h.isfinite().all()
    torch.testing.assert_close(h.double(), expected, rtol=0.05, atol=0.05)
    for gradient in torch.autograd.grad(h.float().sum(), half):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("form", [*FORMS, pytest.param("triton", marks=interpreted)])
def test_values_beyond_half_precision_saturate(form: str) -> None:
    q, k, v, igate, fgate = (tensor.half() for tensor in inputs(8, 24, igate="-50"))
    h = compute(form, (q, -k, v * 1e4, igate, fgate))
    assert h.isfinite().all()


def test_input_that_does_not_fit_is_named() -> None:
    q, k, v, igate, fgate = inputs(4, 24)
    with pytest.raises(ConfigError, match="'triton9': expected one of parallel, factored, chunkwise, recurrent"):
        mlstm(q, k, v, igate, fgate, backend="triton9")
    with pytest.raises(ConfigError, match="without a zero"):
        mlstm(*(x[:, :, :0] for x in (q, k, v, igate, fgate)))
    with pytest.raises(ConfigError, match=r"igate, fgate: expected \(1, 2, 4\), got \(1, 2, 3\)"):
        mlstm(q, k, v, igate[..., :3], fgate)
    with pytest.raises(ConfigError, match="one floating dtype"):
        mlstm(q, k.float(), v, igate, fgate)
    with pytest.raises(ConfigError, match="one device"):
        mlstm(q.to("meta"), k, v, igate, fgate)

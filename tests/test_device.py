"""What an accelerator computes is what the CPU computes. These run where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.audio.logmel import LogMel
from axlstm.embed.embedder import Embedder
from axlstm.mlstm import backends, choose, mlstm
from axlstm.model.config import preset_config
from axlstm.model.patches import random_mask
from axlstm.options import Precision
from axlstm.pretrain.loop import pretrain
from axlstm.training.config import CheckpointConfig, HardwareConfig
from axlstm.training.metrics import read_metrics
from tests.conftest import PUBLISHED_TINY
from tests.pretrain.runs import make_shards, small_config
from tests.seeded import audio

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_front_end_on_the_device() -> None:
    clips = torch.from_numpy(np.stack([audio(2.0, seed) for seed in range(4)]))
    torch.testing.assert_close(LogMel().cuda()(clips.cuda()).cpu(), LogMel()(clips), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", PUBLISHED_TINY)
@pytest.mark.parametrize("layout", ["time", "published"])
def test_embeddings_on_the_device(name: str, layout: str, seeded_checkpoint: Callable) -> None:
    cpu = Embedder(seeded_checkpoint(name), layout=layout)
    gpu = Embedder(seeded_checkpoint(name), layout=layout, device="cuda")
    for seconds in (0.3, 2.0, 7.7):
        expected, got = cpu.embed(audio(seconds, 1), 16_000), gpu.embed(audio(seconds, 1), 16_000)
        np.testing.assert_allclose(got.frames, expected.frames, atol=2e-3)
    for dtype in ("bfloat16", "float16"):
        half = Embedder(seeded_checkpoint(name), layout=layout, device="cuda", dtype=dtype).embed(audio(7.7, 1), 16_000)
        cosine = half.scene @ expected.scene / np.linalg.norm(half.scene) / np.linalg.norm(expected.scene)
        assert cosine > 0.999


SIZES = ("tiny", "small", "medium", "base", "large", "huge")
WIDTHS = [preset_config(f"axlstm-{size}").inner_width // 4 for size in SIZES]
# Largest distance from float64 allowed, as a share of the norm: some units of each format's rounding.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def mlstm_inputs(steps: int, width: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """q, k, v and gates on the device, in float64 with values that ``dtype`` has."""
    rng = torch.Generator("cuda").manual_seed(0)
    options = {"generator": rng, "dtype": torch.float64, "device": "cuda"}
    q, k, v = (torch.randn(2, 2, steps, width, **options) for _ in range(3))
    gates = [torch.randn(2, 2, steps, **options) + shift for shift in (0, 4)]
    return [x.to(dtype).double() for x in (q.abs(), k.abs(), v, *gates)]


def values_and_gradients(tensors: list[torch.Tensor], dtype: torch.dtype, backend: str) -> list[torch.Tensor]:
    leaves = [x.to(dtype).requires_grad_() for x in tensors]
    h = mlstm(*leaves, backend=backend)
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    gradients = torch.autograd.grad((h * weights.to(dtype).cuda()).sum(dtype=torch.float64), leaves)
    return [x.detach().double() for x in (h, *gradients)]


def assert_near(got: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    for name, ours, reference in zip(("h", "q", "k", "v", "igate", "fgate"), got, expected, strict=True):
        assert (ours - reference).norm() <= tolerance * reference.norm(), name


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("width", WIDTHS)
def test_mlstm_on_the_device(backend: str, width: int) -> None:
    tensors = mlstm_inputs(251, width, torch.float32)
    expected = values_and_gradients(tensors, torch.float64, "parallel")
    assert_near(values_and_gradients(tensors, torch.float32, backend), expected, TOLERANCES[torch.float32])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", WIDTHS)
def test_kernels_in_half_precision(width: int, dtype: torch.dtype) -> None:
    tensors = mlstm_inputs(251, width, dtype)
    expected = values_and_gradients(tensors, torch.float64, "parallel")
    got = values_and_gradients(tensors, dtype, "triton")
    assert_near(got, expected, TOLERANCES[dtype])
    assert all(torch.equal(a, b) for a, b in zip(got, values_and_gradients(tensors, dtype, "triton"), strict=True))


@pytest.mark.parametrize(
    ("width", "dtype"), [(96, torch.float32), (96, torch.bfloat16), (192, torch.float16), (384, torch.bfloat16)]
)
def test_kernels_hand_on_states_between_chunks(width: int, dtype: torch.dtype) -> None:
    tensors = mlstm_inputs(2049, width, dtype)
    expected = values_and_gradients(tensors, torch.float64, "chunkwise")
    assert_near(values_and_gradients(tensors, dtype, "triton"), expected, TOLERANCES[dtype])


@pytest.mark.parametrize("steps", [1, 2, 63, 65])
def test_kernels_at_other_lengths(steps: int) -> None:
    tensors = mlstm_inputs(steps, 96, torch.float32)
    got, expected = (values_and_gradients(tensors, torch.float32, name) for name in ("triton", "parallel"))
    for ours, reference in zip(got, expected, strict=True):
        assert (ours - reference).abs().max() <= 1e-4 * (1 + reference.abs().max())


def test_kernels_keep_no_square_of_the_steps() -> None:
    tensors = mlstm_inputs(8192, 96, torch.bfloat16)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    values_and_gradients(tensors, torch.bfloat16, "triton")
    assert torch.cuda.max_memory_allocated() - before < 2 * 2 * 8192 * 8192


def test_auto_takes_the_kernels() -> None:
    choice = choose(device="cuda", steps=251, dtype=torch.bfloat16, head_width=96)
    assert choice.name == "triton", choice.reason


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", PUBLISHED_TINY)
def test_training_steps_in_half_precision(dtype: torch.dtype, name: str, seeded_checkpoint: Callable) -> None:
    model = seeded_checkpoint(name).model.cuda()
    windows = torch.randn(8, 200, 80, device="cuda")
    mask = random_mask(8, model.config, generator=torch.Generator("cuda").manual_seed(0))
    exact = model(windows, mask).loss.item()
    with torch.autocast("cuda", dtype=dtype):
        loss = model(windows, mask).loss
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=0.02)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_run_cut_on_the_device_goes_on(precision: Precision, tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    hardware = HardwareConfig(device="cuda", precision=precision)
    config = small_config(9, hardware=hardware, checkpoints=CheckpointConfig(every_steps=1))
    assert pretrain(config, shards, tmp_path / "whole")["finished"]

    class Cut(Exception):
        pass

    def cut(step: int, _: Mapping[str, float]) -> None:
        if step == 5:
            raise Cut

    with pytest.raises(Cut):
        pretrain(config, shards, tmp_path / "cut", cut)
    assert pretrain(config, shards, tmp_path / "cut")["finished"]
    whole, resumed = (
        {m["step"]: m["loss"] for m in read_metrics(tmp_path / name) if "loss" in m} for name in ("whole", "cut")
    )
    assert resumed.keys() == whole.keys()
    for step, loss in whole.items():
        assert resumed[step] == pytest.approx(loss, rel=1e-3)

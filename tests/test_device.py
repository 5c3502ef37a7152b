"""What an accelerator computes is what the CPU computes. These run where there is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from axlstm.embedder import Embedder
from axlstm.frontend import LogMel
from axlstm.mlstm import backends, mlstm
from axlstm.model.patches import random_mask
from tests.conftest import PUBLISHED_TINY
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
    cpu = Embedder(seeded_checkpoint(name), layout)
    gpu = Embedder(seeded_checkpoint(name), layout, device="cuda")
    for seconds in (0.3, 2.0, 7.7):
        expected, got = cpu.embed(audio(seconds, 1), 16_000), gpu.embed(audio(seconds, 1), 16_000)
        np.testing.assert_allclose(got.frames, expected.frames, atol=2e-3)
    for dtype in ("bfloat16", "float16"):
        half = Embedder(seeded_checkpoint(name), layout, device="cuda", dtype=dtype).embed(audio(7.7, 1), 16_000)
        cosine = half.scene @ expected.scene / np.linalg.norm(half.scene) / np.linalg.norm(expected.scene)
        assert cosine > 0.999


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("width", [96, 192, 256, 384, 512, 640])
def test_mlstm_on_the_device(backend: str, width: int) -> None:
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 251, width, generator=rng, dtype=torch.float64).abs() for _ in range(3))
    gates = [torch.randn(2, 2, 251, generator=rng, dtype=torch.float64) + shift for shift in (0, 4)]
    expected = mlstm(q, k, v, *gates)
    got = mlstm(*(x.float().cuda() for x in (q, k, v, *gates)), backend=backend)
    torch.testing.assert_close(got.double().cpu(), expected, atol=1e-2, rtol=1e-2)


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

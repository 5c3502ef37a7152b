"""What `auto` takes, and what it says about it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.mlstm import choose, mlstm
from axlstm.mlstm.triton_tiles import choose_blocks, shared_bytes, tiling

CPU = {"device": "cpu", "dtype": torch.float32, "head_width": 96}


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ({"steps": 251}, "factored", "cache"),
        ({"steps": 251, "dtype": torch.float16}, "parallel", "float16"),
        ({"steps": 8192}, "chunkwise", "pays above 1056 steps"),
        ({"steps": 1900, "head_width": 384}, "factored", "cache"),
        ({"steps": 251, "device": "meta"}, "parallel", "wait for the host"),
        ({"steps": 251, "device": "cuda", "dtype": torch.float64}, "parallel", "not triton: .*not float64"),
        ({"steps": 600, "device": "meta"}, "chunkwise", "pays above 448 steps"),
        ({"steps": 8192, "device": "cuda", "head_width": 800}, "chunkwise", "not triton: .*not 800"),
    ],
)
def test_choice_and_its_reason(changes: dict, name: str, why: str) -> None:
    choice = choose(**{**CPU, **changes})
    assert choice.name == name
    assert re.search(why, choice.reason)


@pytest.mark.parametrize("steps", [40, 900])
def test_auto_is_what_it_chooses(steps: int) -> None:
    q, k, v = (torch.randn(1, 2, steps, 16) for _ in range(3))
    gates = torch.randn(2, 1, 2, steps)
    name = choose(device="cpu", steps=steps, dtype=torch.float32, head_width=16).name
    assert torch.equal(mlstm(q, k, v, *gates, backend="auto"), mlstm(q, k, v, *gates, backend=name))


def test_an_unknown_backend_is_told_what_exists_and_what_keeps_triton_away() -> None:
    code = (
        "import torch, axlstm.mlstm as m; q = torch.zeros(1, 1, 2, 8)\n"
        "for name in ('fast', 'triton'):\n"
        "    try: m.mlstm(q, q, q, q[..., 0], q[..., 0], backend=name)\n"
        "    except Exception as error: print(error)\n"
        "import sys; print('triton' in sys.modules)"
    )
    if torch.cuda.is_available():
        pytest.skip("Triton is not kept away here")
    environment = {"PATH": "", "TRITON_INTERPRET": "0"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    unknown, unavailable, imported = run.stdout.splitlines()
    assert "'fast': expected one of parallel, factored, chunkwise, recurrent, triton (" in unknown
    assert unavailable.startswith("mLSTM backend 'triton': ")
    assert "CUDA device" in unavailable or "pip install" in unavailable
    assert imported == "False"


@pytest.mark.parametrize("width", [16, 24, 96, 192, 256, 320, 384, 448, 512, 640])
@pytest.mark.parametrize("number_bytes", [2, 4])
@pytest.mark.parametrize("kernel", ["rows_forward", "rows_backward", "columns_backward"])
def test_blocks_fit_in_the_shared_memory_of_a_gpu(width: int, number_bytes: int, kernel: str) -> None:
    head = tiling(width)
    assert head.padded >= width
    assert head.padded <= 2 * width
    for limit in (232_448, 101_376):  # H100 and H200; L4 and RTX 4090
        if limit < 200_000 and width * number_bytes > 1024:
            continue
        blocks = choose_blocks(kernel, head, number_bytes, limit)
        assert shared_bytes(kernel, head, blocks, number_bytes) <= limit


def test_heads_too_wide_for_the_kernels_are_refused() -> None:
    with pytest.raises(ConfigError, match="head width 641"):
        tiling(641)
    with pytest.raises(ConfigError, match="do not fit in 20000 bytes"):
        choose_blocks("rows_forward", tiling(640), 4, 20_000)

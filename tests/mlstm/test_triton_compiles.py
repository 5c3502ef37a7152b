"""Every launch, as it would be on an H100, compiles for one and stays inside its shared memory; no GPU is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

_CODE = """
import sys
import torch
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import axlstm.mlstm.triton as form
from axlstm.mlstm import triton_kernels

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32"}
OPTIONS = ("num_warps", "num_stages")
launches = {}

class Recorder:
    def __getattr__(self, name):
        kernel = getattr(triton_kernels, name)
        def launch(*values, **constants):
            options = {key: constants.pop(key) for key in OPTIONS if key in constants}
            signature, attributes = {}, {}
            for place, (argument, value) in enumerate(zip(kernel.arg_names, values)):
                if isinstance(value, torch.Tensor):
                    signature[argument] = POINTERS[value.dtype]
                    attributes[(place,)] = [["tt.divisibility", 16]]
                else:
                    signature[argument] = "fp32" if isinstance(value, float) else "i32"
            signature |= dict.fromkeys(constants, "constexpr")
            launches[name, str(constants), str(signature)] = kernel, signature, constants, attributes, options
        return type("Grid", (), {"__getitem__": lambda self, grid: launch})()

width, steps, dtype = int(sys.argv[1]), int(sys.argv[2]), getattr(torch, sys.argv[3])
form._kernels = lambda: Recorder()
form.why_not = lambda *_: None
tensors = [torch.zeros(1, 2, steps, width, dtype=dtype, requires_grad=True) for _ in range(3)]
gates = [torch.zeros(1, 2, steps, requires_grad=True) for _ in range(2)]
form.mlstm_triton(*tensors, *gates).sum().backward()
for (name, *_), (kernel, signature, constants, attributes, options) in launches.items():
    source = ASTSource(kernel, signature, constants, attributes)
    compiled = compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    print(name, compiled.metadata.shared)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton: pip install axlstm[triton]")
@pytest.mark.parametrize("steps", [251, 4096])
@pytest.mark.parametrize(
    ("width", "dtype"),
    [(width, "bfloat16") for width in (24, 96, 192, 256, 384, 512, 640)]
    + [(96, "float16"), (96, "float32"), (384, "float32")],
)
def test_launches_compile_for_an_h100(width: int, dtype: str, steps: int) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", _CODE, str(width), str(steps), dtype]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    shared = {name: int(size) for name, size in (line.split() for line in run.stdout.splitlines())}
    expected = {"gates_forward", "gates_backward", "rows_forward", "rows_backward", "columns_backward"}
    between = {"states_forward", "states_backward", "carry_states"} if steps > 251 else set()
    assert shared.keys() == expected | between
    assert max(shared.values()) <= 232_448

"""Without a CUDA device the Triton kernels run in Triton's interpreter, which has to be asked for before they load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import torch

INTERPRETED = find_spec("triton") is not None and not torch.cuda.is_available()

if INTERPRETED:
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True, scope="session")
def bfloat16_products() -> Iterator[None]:
    """The interpreter keeps bfloat16 as the upper half of a float32's bits, and tl.dot multiplies these as integers."""
    if not INTERPRETED:
        yield
        return
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    original = builder.create_dot

    def widened(operand):
        if operand.dtype.scalar != interpreter.tl.bfloat16:
            return operand
        data = (operand.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(data, interpreter.tl.float32)

    def create_dot(self, a, b, *others):
        return original(self, widened(a), widened(b), *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "create_dot", create_dot)
        yield

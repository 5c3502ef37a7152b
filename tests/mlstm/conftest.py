"""Without a CUDA device the Triton kernels run in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.conftest import INTERPRETED


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

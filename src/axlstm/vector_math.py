"""Have torch choose its vector functions while one thread computes.

The MKL of torch looks for the code of functions like `exp` when one of them is first called. Where two threads make
that first call together, one of them may compute with code of less accuracy: its share of the numbers is wrong by up
to one in 10,000 in float32. It happens in some processes and not in others, so that the same command gives other
numbers. It is an error of MKL 2024.2, which torch 2.13 holds (https://github.com/pytorch/pytorch/issues/188792, where
the remedy is from too: a call with one number, which one thread computes).

Every module that imports torch when it is loaded imports this one, itself or through another.
"""

from __future__ import annotations

import torch

FUNCTIONS = (
    *("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "floor"),
    *("lgamma", "log", "log10", "log1p", "log2", "reciprocal", "round", "rsqrt", "sigmoid", "sin", "sinh", "sqrt"),
    *("tan", "tanh", "trunc"),
)


def settle_vector_functions() -> None:
    """Call each function of one number that torch may leave to MKL once, in both precisions that MKL has."""
    with torch.no_grad():
        for dtype in (torch.float32, torch.float64):
            half = torch.full((1,), 0.5, dtype=dtype, device="cpu")
            for name in FUNCTIONS:
                getattr(torch, name)(half)


settle_vector_functions()

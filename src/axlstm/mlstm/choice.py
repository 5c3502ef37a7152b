"""Choose the form in which the mLSTM of a sequence is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from axlstm.mlstm.triton import why_not
from axlstm.mlstm.triton_tiles import chunks_pay_from

AUTO = "auto"
LAYER = "layer"
"""The back-end of a whole AxLSTM layer on a CPU, `axlstm.model.mixer`: `mlstm` itself does not take it."""


@dataclass(frozen=True)
class Choice:
    """A back-end's name, and a sentence that says why it was chosen."""

    name: str
    reason: str


def choose(
    *, device: torch.device | str, steps: int, dtype: torch.dtype, head_width: int, in_layer: bool = False
) -> Choice:
    """Choose the back-end of ``backend="auto"``; it is the same with and without gradients.

    Args:
        device: where the tensors are.
        steps: S, the length of the sequences.
        dtype: of q, k and v.
        head_width: DH, channels of a head.
        in_layer: whether an AxLSTM layer asks, which can leave all between its projections to ``"layer"``.
    """
    device = torch.device(device)
    lacking = ""
    if device.type == "cuda":
        hindrance = why_not(device, dtype, head_width)
        if hindrance is None:
            return Choice("triton", "fused kernels on a CUDA device, without an S x S matrix in its memory")
        lacking = f"; not triton: {hindrance}"
    linear_from = _cpu_chunks_pay_from(head_width) if device.type == "cpu" else chunks_pay_from(head_width)
    if steps > linear_from:
        return Choice("chunkwise", f"memory and time linear in S, which pays above {linear_from} steps{lacking}")
    if dtype == torch.float16:
        return Choice("parallel", f"the factors of the factored form would leave the range of float16{lacking}")
    if device.type != "cpu":
        return Choice("parallel", f"the factored form would make the device wait for the host{lacking}")
    if in_layer:
        return Choice(LAYER, "a sequence of the whole layer at a time, which stays in the CPU's cache")
    return Choice("factored", "the fewest passes over S x S numbers, which are few enough for a CPU's cache")


def _cpu_chunks_pay_from(head_width: int) -> int:
    """Return the number of steps above which chunkwise is faster than factored on one core, forward.

    Measured for widths 96 and 384: at 1 000 and 1 700 steps in float32, 1 250 and 2 100 in bfloat16; with gradients
    at two thirds of these.
    """
    return 768 + 3 * head_width


def explain_backends(names: Iterable[str], like: Tensor) -> str:
    """List the names; behind one that cannot compute tensors like this one stands the reason."""
    hindrance = why_not(like.device, like.dtype, like.shape[-1] if like.ndim else 1)
    told = [f"{name} ({hindrance})" if name == "triton" and hindrance else name for name in names]
    return ", ".join([*told, AUTO])

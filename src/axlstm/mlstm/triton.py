"""Compute the mLSTM in fused Triton kernels: no S x S matrix in device memory, forward or backward.

Of the published definition (`axlstm.mlstm.parallel`) the running maximum M of a = igate - F is known before any
product is: F cancels in log D - m = a[j] - M[i]. So a row needs no rescaling while its columns pass by, and what is
kept for the backward pass is six numbers a step. For long sequences chunks hand on a state (Beck et al. 2025, Tiled
Flash Linear Attention, has the idea), which makes time linear in S too.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op

from axlstm.errors import ConfigError
from axlstm.mlstm.parallel import EPS
from axlstm.mlstm.triton_tiles import WIDEST_HEAD, Pass, choose_blocks, chunk_of, tiling, together

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_KERNELS = "axlstm.mlstm.triton_kernels"
_GATE_BLOCK = 64
_CARRY_BLOCK = 512
_H100_SHARED_BYTES = 232_448


def why_not(device: torch.device, dtype: torch.dtype, head_width: int) -> str | None:
    """Say why the kernels cannot compute this; None if they can."""
    if device.type != "cuda" and not _interpreted():
        return f"its kernels need a CUDA device, not {device.type} (or TRITON_INTERPRET=1, for tests)"
    if "triton" not in sys.modules and find_spec("triton") is None:
        return "Triton is not installed: pip install 'axlstm[triton]' (Linux; CUDA builds of torch bring it along)"
    if dtype not in DTYPES:
        return f"its kernels compute float32, bfloat16 and float16, not {str(dtype).removeprefix('torch.')}"
    if head_width > WIDEST_HEAD:
        return f"its kernels go up to a head width of {WIDEST_HEAD}, not {head_width}"
    return None


def mlstm_triton(
    q: Tensor, k: Tensor, v: Tensor, igate: Tensor, fgate: Tensor, *, chunk_steps: int | None = None
) -> Tensor:
    """Compute `mlstm_parallel` in fused, deterministic kernels, with first but not second derivatives.

    float32 products run on the tensor cores as three products in TF32, which keeps 21 bits; as one where torch is
    allowed TF32 (`torch.set_float32_matmul_precision`).

    Args:
        q, k, v: ``(B, H, S, DH)`` in float32, bfloat16 or float16; DH up to 640.
        igate, fgate: ``(B, H, S)`` gate pre-activations.
        chunk_steps: a multiple of 64; 0 visits all pairs of steps; None chooses by S and DH.

    Returns:
        h: ``(B, H, S, DH)`` in the dtype of v.

    Raises:
        ConfigError: no Triton, no device, or a dtype or width that the kernels do not have.
    """
    reason = why_not(q.device, q.dtype, q.shape[-1])
    if reason is not None:
        raise ConfigError(f"mLSTM backend 'triton': {reason}")
    steps, width = q.shape[-2:]
    chunk = chunk_of(steps, width) if chunk_steps is None else chunk_steps
    if chunk < 0 or chunk % _GATE_BLOCK:
        raise ConfigError(f"chunk_steps={chunk}: expected a multiple of {_GATE_BLOCK}, or 0 for one chunk")
    chunk = chunk if chunk < steps else 0
    q, k, v = _alike(q, k, v)
    log_f = F.logsigmoid(fgate.float()).contiguous()  # (B, H, S)
    h: Tensor = _forward(q, k, v, igate.float().contiguous(), log_f, chunk)[0]
    return h


@custom_op(
    "axlstm::mlstm_forward",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor igate, Tensor log_f, int chunk) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _forward(q: Tensor, k: Tensor, v: Tensor, igate: Tensor, log_f: Tensor, chunk: int) -> tuple[Tensor, ...]:
    """Compute h, and for the backward pass a, M, m, the first index of M, the normaliser and its slope at each step."""
    launch = _Launch(q, chunk)
    h, a, peak, log_peak, first, normaliser, slope = _forward_shapes(q, k, v, igate, log_f, chunk)
    with launch.device():
        launch.gates("gates_forward", igate, log_f, a, peak, log_peak, first, CHUNK=chunk)
        states, key_sums = launch.states("states_forward", k, v, a, peak, gates=(peak, log_peak))
        limit = 0.0 if v.dtype == torch.float32 else torch.finfo(v.dtype).max
        launch.blocks(
            "rows_forward",
            (q, k, v, a, peak, log_peak, states, key_sums, h, normaliser, slope),
            LIMIT=limit, EPS=EPS,
        )  # fmt: skip
    return h, a, peak, log_peak, first, normaliser, slope


@_forward.register_fake
def _forward_shapes(
    q: Tensor, k: Tensor, v: Tensor, igate: Tensor, log_f: Tensor, chunk: int  # noqa: ARG001
) -> tuple[Tensor, ...]:  # fmt: skip
    gates = [torch.empty_like(igate) for _ in range(5)]  # (B, H, S)
    first = torch.empty_like(igate, dtype=torch.int32)
    return torch.empty_like(v), *gates[:3], first, *gates[3:]


@custom_op(
    "axlstm::mlstm_backward",
    mutates_args=(),
    schema="(Tensor d_h, Tensor q, Tensor k, Tensor v, Tensor h, Tensor a, Tensor peak, Tensor log_peak, "
    "Tensor first, Tensor normaliser, Tensor slope, int chunk) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(
    d_h: Tensor, q: Tensor, k: Tensor, v: Tensor, h: Tensor, a: Tensor, peak: Tensor, log_peak: Tensor,
    first: Tensor, normaliser: Tensor, slope: Tensor, chunk: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Compute gradients of q, k, v, igate and log_f."""
    launch = _Launch(q, chunk)
    if d_h.stride() != q.stride():
        d_h = torch.empty_like(q).copy_(d_h)
    if v.dtype != torch.float32:  # as `saturate`: what was cut off has no gradient
        d_h = torch.where(h.abs() < torch.finfo(h.dtype).max, d_h, 0)
    d_q, d_k, d_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    d_total, d_peak, d_f_rows, d_columns, d_igate, d_log_f = (torch.empty_like(a) for _ in range(6))
    with launch.device():
        states, sums = launch.states("states_forward", k, v, a, peak, gates=(peak, log_peak))
        launch.blocks(
            "rows_backward",
            (q, k, v, h, d_h, a, peak, log_peak, normaliser, slope, states, sums, d_q, d_total, d_peak, d_f_rows),
            EPS=EPS,
        )
        states, sums = launch.states(
            "states_backward", q, d_h, peak, log_peak, normaliser, d_total, gates=(peak, log_peak), backward=True
        )
        tensors = (q, k, v, d_h, a, peak, normaliser, d_total, states, sums, d_k, d_v, d_columns)
        for keys, values in [(True, True)] if together(launch.head) else [(True, False), (False, True)]:
            launch.blocks("columns_backward", tensors, KEYS=keys, VALUES=values)
        launch.gates("gates_backward", d_columns, d_peak, d_f_rows, first, d_igate, d_log_f)
    return d_q, d_k, d_v, d_igate, d_log_f


@_backward.register_fake
def _backward_shapes(*inputs: Any) -> tuple[Tensor, ...]:
    _, q, k, v, _, a, *_ = inputs
    return tuple(torch.empty_like(x) for x in (q, k, v, a, a))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, _, _, ctx.chunk = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_h: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if d_h is None:
        return (None,) * 6
    return (*_backward(d_h, *ctx.saved_tensors, ctx.chunk), None)


_forward.register_autograd(_differentiate, setup_context=_keep)


class _Launch:
    """Launches the kernels of one call with its shapes, strides and block sizes."""

    def __init__(self, like: Tensor, chunk: int) -> None:
        self.batch, self.heads, self.steps, self.width = like.shape
        self.like, self.chunk = like.new_empty(0), chunk
        self.stride = like.stride()[:3]
        self.head = tiling(self.width)
        self.shared_limit = _shared_limit(like.device)
        self.precision = "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"

    def device(self) -> AbstractContextManager[object]:
        device = self.like.device
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def gates(self, name: str, *tensors: Tensor, **constants: int) -> None:
        """Launch a kernel over whole sequences of gates, one head a program."""
        kernel = getattr(_kernels(), name)
        kernel[(self.batch * self.heads,)](*tensors, self.steps, BLOCK=_GATE_BLOCK, num_warps=4, **constants)

    def states(
        self, name: str, *tensors: Tensor, gates: tuple[Tensor, Tensor], backward: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Compute states and sums between chunks, ``(B H, chunks - 1, DH, DH)`` and ``(B H, chunks - 1, DH)``."""
        heads = self.batch * self.heads
        between = -(-self.steps // self.chunk) - 1 if self.chunk else 0
        states = self.like.new_empty(heads, between, self.width, self.width)
        sums = self.like.new_empty(states.shape[:-1], dtype=torch.float32)
        if between:
            blocks = choose_blocks("states", self.head, self.like.itemsize, self.shared_limit)
            kernels = _kernels()
            getattr(kernels, name)[(heads, between, self.head.tiles**2)](
                *tensors, states, sums, self.heads, *self.stride, self.steps,
                DH=self.width, BD=self.head.channels, TILES=self.head.tiles, BLOCK=blocks.visited, CHUNK=self.chunk,
                PRECISION=self.precision, num_warps=blocks.warps, num_stages=blocks.stages,
            )  # fmt: skip
            for x in (states, sums):
                numbers = x[0, 0].numel()
                kernels.carry_states[(heads, -(-numbers // _CARRY_BLOCK))](
                    x, *gates, self.steps, numbers, between,
                    BLOCK=_CARRY_BLOCK, CHUNK=self.chunk, BACKWARD=backward, num_warps=4,
                )  # fmt: skip
        return states, sums

    def blocks(self, name: Pass, tensors: tuple[Tensor, ...], **constants: float | bool) -> None:
        """Launch a kernel whose programs own a block of steps each."""
        blocks = choose_blocks(name, self.head, self.like.itemsize, self.shared_limit)
        by_column = name == "columns_backward"
        rows, columns = (blocks.visited, blocks.owned) if by_column else (blocks.owned, blocks.visited)
        kernel = getattr(_kernels(), name)
        kernel[(self.batch * self.heads, -(-self.steps // blocks.owned))](
            *tensors, self.width**-0.5, self.heads, *self.stride, self.steps,
            DH=self.width, BD=self.head.channels, TILES=self.head.tiles, ROWS=rows, COLUMNS=columns,
            CHUNK=self.chunk, PRECISION=self.precision, num_warps=blocks.warps, num_stages=blocks.stages, **constants,
        )  # fmt: skip


def _alike(*tensors: Tensor) -> list[Tensor]:
    """Give tensors the same dense strides, channels last. Views of heads stay as they are."""
    first = tensors[0]
    dense = torch.empty_like(first).stride() == first.stride() and first.stride(-1) == 1
    if dense and all(tensor.stride() == first.stride() for tensor in tensors):
        return list(tensors)
    return [tensor.contiguous() for tensor in tensors]


@lru_cache
def _shared_limit(device: torch.device) -> int:
    """Return the bytes of shared memory that a program can have; the interpreter computes with an H100's."""
    if device.type != "cuda":
        return _H100_SHARED_BYTES
    properties = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", properties.shared_memory_per_block))


def _kernels() -> ModuleType:
    """Import the kernels. Triton is loaded when something is computed with it, not before."""
    return import_module(_KERNELS)


def _interpreted() -> bool:
    """Tell whether the kernels run in Triton's interpreter, which is decided when they are imported."""
    kernels = sys.modules.get(_KERNELS)
    if kernels is not None:
        return type(kernels.rows_forward).__name__ == "InterpretedFunction"
    return os.environ.get("TRITON_INTERPRET") == "1"

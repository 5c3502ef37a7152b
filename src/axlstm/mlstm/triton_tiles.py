"""Compute the blocks of the Triton kernels from head width, bytes of a number and shared memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from axlstm.errors import ConfigError

WIDEST_HEAD = 640
MOST_TILES = 5
CHUNK_STEPS = 256

Pass = Literal["rows_forward", "rows_backward", "columns_backward", "states"]

_ACCUMULATORS_PER_THREAD = 128  # float32 registers of the 255 a thread has; operands and addresses need the others
_SCRATCH_BYTES = 8 * 1024  # for reductions and changes of layout
# (block owned by a program, block it loops over, buffers of the latter): the largest that fits is taken.
_HALF_BLOCKS = ((64, 64, 2), (64, 32, 2), (64, 32, 1), (64, 16, 1), (32, 32, 1), (32, 16, 1), (16, 16, 1))
_FLOAT_BLOCKS = ((32, 32, 1), (32, 16, 1), (16, 16, 1))  # float32 takes twice the room


@dataclass(frozen=True)
class Tiling:
    """A head's channels as ``tiles`` times ``channels`` (a power of two, 16 at least, as tl.dot wants it)."""

    channels: int
    tiles: int

    @property
    def padded(self) -> int:
        """Count the channels with those that only fill the last tile."""
        return self.channels * self.tiles


@dataclass(frozen=True)
class Blocks:
    """``owned`` steps belong to a program, which loops over ``visited`` steps at a time."""

    owned: int
    visited: int
    stages: int
    warps: int


def tiling(head_width: int) -> Tiling:
    """Put up to 128 channels in one tile, and more in tiles of 64 or 128, whichever need less filling.

    Raises:
        ConfigError: a head wider than 640.
    """
    if head_width > WIDEST_HEAD:
        raise ConfigError(f"head width {head_width}: the Triton kernels go up to {WIDEST_HEAD}; use chunkwise")
    if head_width <= 128:
        return Tiling(max(16, 1 << (head_width - 1).bit_length()), 1)
    candidates = [Tiling(size, -(-head_width // size)) for size in (128, 64)]
    fitting = [candidate for candidate in candidates if candidate.tiles <= MOST_TILES]
    return min(fitting, key=lambda candidate: candidate.padded)


def together(head: Tiling) -> bool:
    """Tell whether one program computes the gradients of both k and v. For wide heads two accumulators do not fit."""
    return head.tiles == 1


def shared_bytes(kernel: Pass, head: Tiling, blocks: Blocks, number_bytes: int) -> int:
    """Count a program's shared bytes: its own operands, what it visits (two tensors, ``stages`` times), one product."""
    resident = 2 if kernel == "rows_backward" or (kernel == "columns_backward" and together(head)) else 1
    steps = resident * blocks.owned + 2 * blocks.stages * blocks.visited
    return number_bytes * (steps * head.padded + blocks.owned * blocks.visited) + _SCRATCH_BYTES


@lru_cache
def choose_blocks(kernel: Pass, head: Tiling, number_bytes: int, shared_limit: int) -> Blocks:
    """Choose the largest blocks whose accumulators fit in the registers and whose operands fit in shared memory.

    Args:
        kernel: which of the passes.
        head: from `tiling`.
        number_bytes: 2 or 4, of an element of q, k and v.
        shared_limit: bytes of shared memory that a program can have: 232 448 on an H100 or H200.

    Raises:
        ConfigError: not even the smallest blocks fit.
    """
    if kernel == "states":  # a program owns one tile of a state, channels x channels
        return Blocks(head.channels, 32, 2 if number_bytes == 2 else 1, 4 if head.channels <= 64 else 8)
    warps = 4 if head.padded <= 128 and kernel != "columns_backward" else 8
    for owned, visited, stages in _HALF_BLOCKS if number_bytes == 2 else _FLOAT_BLOCKS:
        blocks = Blocks(owned, visited, stages, warps)
        accumulators = owned * head.padded // (32 * warps)
        fits = shared_bytes(kernel, head, blocks, number_bytes) <= shared_limit
        if accumulators <= _ACCUMULATORS_PER_THREAD and fits:
            return blocks
    raise ConfigError(
        f"{head.padded} channels a head do not fit in {shared_limit} bytes of shared memory; use chunkwise"
    )


def chunks_pay_from(head_width: int) -> int:
    """Return the number of steps above which states between chunks cost less than all pairs of steps.

    A forward pass over all pairs takes 2 DH S operations for each step, in chunks of L it takes 2 DH L + 4 DH^2:
    the same at S = L + 2 DH.
    """
    return CHUNK_STEPS + 2 * head_width


def chunk_of(steps: int, head_width: int) -> int:
    """Return the number of steps in a chunk of the kernels; 0 puts all in one."""
    return CHUNK_STEPS if steps > chunks_pay_from(head_width) else 0

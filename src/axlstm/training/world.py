"""Connect the processes of one run: alone, or as many as torchrun started."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from axlstm.devices import find_device
from axlstm.errors import AxlstmError, TrainingError, first_line


@dataclass(frozen=True)
class World:
    """This process among those of the run, and the device it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Tell whether this is the process that writes and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum element-wise over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def gather_rows(self, values: Tensor) -> list[Tensor]:
        """Return the values of every process by rank, without gradients; all have one shape."""
        out = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(out, values.contiguous())
        return out

    def gather(self, value: Any) -> list[Any]:
        """Return what every process passed, by rank."""
        if self.size == 1:
            return [value]
        out: list[Any] = [None] * self.size
        dist.all_gather_object(out, value)
        return out

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Wait for all processes at the end of the block; if any of them raises an error in it, all raise that error.

        Without this the others would wait for a process that has ended. They must not wait for each other inside.
        """
        failure: Exception | None = None
        try:
            yield
        except (AxlstmError, OSError) as error:
            failure = error
        failures = [error for error in self.gather(failure) if error is not None]
        if failures:
            raise failure or failures[0]


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the processes that torchrun started (NCCL between GPUs, gloo between CPUs), or be alone.

    Raises:
        ConfigError: a device that does not exist here.
        TrainingError: another process ended during the block.
    """
    chosen = _choose_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # torchrun keeps its store when it starts killed processes again: without a name of its own, the new group
    # may find addresses of the old one there, and wait for them.
    store, rank, size = next(dist.rendezvous("env://"))
    attempt = dist.PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=attempt, rank=rank, world_size=size)
    try:
        yield World(rank, size, chosen)
        # Nobody leaves while another may still need the store or the connections.
        dist.barrier()
    except RuntimeError as error:
        if not _is_of_connection(error):
            raise
        raise TrainingError(
            f"rank {rank}: another process of the run has ended, or cannot be reached ({first_line(error)}); its own "
            "message says why. The saved checkpoints are whole: run the same command again to go on"
        ) from error
    finally:
        # A reference that is left would keep the group until the interpreter ends, where its threads abort the process.
        gc.collect()
        dist.destroy_process_group()


def _is_of_connection(error: RuntimeError) -> bool:
    """Tell whether an error is about the connection between processes; gloo's have no type of their own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection " in str(error)


def _choose_device(name: str) -> torch.device:
    """Choose a device: of several CUDA devices each process of a machine takes its own, unless the name has one."""
    device = find_device(name, ("cpu", "cuda"), "hardware.device")
    if device.type == "cuda" and device.index is None:
        return find_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}", option="process on")
    return device

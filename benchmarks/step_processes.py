"""Time training steps in several processes on one CPU, as torchrun would start them."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

from axlstm.data.reader import LogMelBatch
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.stepper import Stepper
from axlstm.training.world import joined_world


class StepProcesses:
    """Processes of one gloo group that share a global batch, one thread each; calling it makes them take a step."""

    def __init__(self, config: PretrainConfig, count: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        context = get_context("spawn")
        self._pipes: list[Connection] = []
        for rank in range(count):
            ours, theirs = context.Pipe()
            arguments = (theirs, config.to_dict(), rank, count, port)
            context.Process(target=_serve, args=arguments, daemon=True).start()
            self._pipes.append(ours)

    def __call__(self) -> None:
        """Take one step, as long as the slowest process needs."""
        self._tell("step")

    def close(self) -> None:
        """End the processes."""
        self._tell("end")

    def _tell(self, word: str) -> None:
        for pipe in self._pipes:
            pipe.send(word)
        for pipe in self._pipes:
            pipe.recv()


def _serve(pipe: Connection, values: dict[str, Any], rank: int, count: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(count)}
    torch.set_num_threads(1)
    config = PretrainConfig.from_dict(values)
    share = config.optimiser.global_batch // count
    config = replace(config, optimiser=replace(config.optimiser, micro_batch=share))
    with joined_world("cpu") as world:
        stepper = Stepper(MaskedPatchModel.initialised(config.model), config, world)
        shape = (share, config.model.window_frames, config.model.mel_bands)
        windows = torch.randn(shape, generator=torch.Generator().manual_seed(rank))
        batch = LogMelBatch(windows, torch.arange(share), [])
        while pipe.recv() == "step":
            stepper.step(repeat(batch), 1e-4, False)
            pipe.send("done")
        del stepper
    pipe.send("done")

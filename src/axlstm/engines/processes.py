"""Run the encoder in a process for each core: the same numbers as in threads, without the lock that threads share.

An AxLSTM layer on a CPU is some seventy short operations a sequence, and Python threads pass one lock before each.
"""

from __future__ import annotations

import os
import pickle
import weakref
from concurrent.futures.process import BrokenProcessPool
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.errors import ConfigError
from axlstm.model.frame_encoder import Encode, FrameEncoder
from axlstm.threads import UNGUARDED, Processes, count_cores

_own: dict[str, Encode] = {}  # in a process of the pool: what it computes with


def encode_in_processes(frame_encoder: FrameEncoder) -> Encode:
    """Start a process for each core; the function returned computes in them with the present weights.

    The processes end with the function. A process that is forked from this one computes by itself.

    Raises:
        ConfigError: (of the function returned) a process that could not start or did not survive.
    """
    content, parent = pickle.dumps(frame_encoder), os.getpid()
    processes = Processes(count_cores(), _start, (content,))

    @cache
    def encode_here() -> Encode:
        forked: FrameEncoder = pickle.loads(content)
        return forked.prepare()

    def encode(windows: Tensor) -> Tensor:
        if os.getpid() != parent:  # a fork cannot reach the processes of its parent
            return encode_here()(windows)
        try:
            return torch.from_numpy(processes.submit(_encode, windows.float().numpy()).result())
        except BrokenProcessPool as error:
            fault = (
                f"no process could start: {UNGUARDED}"
                if processes.failed_to_start
                else "a process was ended; memory may have run out"
            )
            raise ConfigError(f"engine='processes': {fault}. engine=None computes in this process") from error

    weakref.finalize(encode, processes.pool.shutdown, wait=False, cancel_futures=True)
    return encode


def _start(content: bytes) -> None:
    torch.set_num_threads(1)
    frame_encoder: FrameEncoder = pickle.loads(content)  # written by the process that started this one
    _own["encode"] = frame_encoder.prepare()


def _encode(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    frames: NDArray[np.float32] = _own["encode"](torch.from_numpy(windows)).numpy()
    return frames

"""Run the encoder in a process for each core: the numbers of torch's threads, without the lock that threads share.

An AxLSTM layer on a CPU is some seventy short operations a sequence, and Python threads pass one lock before each.
"""

from __future__ import annotations

import pickle
import weakref
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.errors import ConfigError
from axlstm.model.frame_encoder import Encode, FrameEncoder

_own: dict[str, Encode] = {}  # in a process of the pool: what it computes with


def encode_in_processes(frame_encoder: FrameEncoder) -> Encode:
    """Start as many processes as torch has threads; the function returned computes in them with the present weights.

    The processes end with the function.

    Raises:
        ConfigError: (of the function returned) a process that could not start or did not survive.
    """
    pool = ProcessPoolExecutor(
        torch.get_num_threads(),
        mp_context=get_context("spawn"),
        initializer=_start,
        initargs=(pickle.dumps(frame_encoder),),
    )

    def encode(windows: Tensor) -> Tensor:
        try:
            return torch.from_numpy(pool.submit(_encode, windows.float().numpy()).result())
        except BrokenProcessPool as error:
            raise ConfigError(
                "engine='processes': a process could not start or was ended. A script that uses it must be guarded by "
                "if __name__ == '__main__'; memory may have run out; engine=None computes in this process"
            ) from error

    weakref.finalize(encode, pool.shutdown, wait=False, cancel_futures=True)
    return encode


def _start(content: bytes) -> None:
    torch.set_num_threads(1)
    frame_encoder: FrameEncoder = pickle.loads(content)  # written by the process that started this one
    _own["encode"] = frame_encoder.prepare()


def _encode(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    frames: NDArray[np.float32] = _own["encode"](torch.from_numpy(windows)).numpy()
    return frames

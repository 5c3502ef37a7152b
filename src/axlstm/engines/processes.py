"""The encoder in a process for each core, for `Embedder`: the numbers of torch's threads, without their common lock.

An AxLSTM layer on a CPU is some seventy short operations a sequence, and Python's threads hand one lock to each other
before every one of them. Processes share nothing; they cost seconds to start, and a copy of the weights each.
"""

from __future__ import annotations

import pickle
import weakref
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.errors import ConfigError

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder
    from axlstm.engines.compiled import Encode

_own: dict[str, Embedder] = {}  # in a process of the pool: the embedder that it computes with


def encode_in_processes(embedder: Embedder) -> Encode:
    """``embedder``'s windows ``(N, window_frames, bands)`` to frames ``(N, grid_frames, F)`` in as many processes as
    torch has threads, which end with the embedder. They have the weights that it has now.

    Raises:
        ConfigError: (of the function returned) a process that could not start or did not survive.
    """
    options = {"layout": embedder.layout_name, "dtype": embedder.dtype, "layers": embedder.layers}
    content = pickle.dumps((embedder.checkpoint, options))
    pool = ProcessPoolExecutor(
        torch.get_num_threads(), mp_context=get_context("spawn"), initializer=_start, initargs=(content,)
    )
    weakref.finalize(embedder, pool.shutdown, wait=False, cancel_futures=True)

    def encode(windows: Tensor) -> Tensor:
        try:
            return torch.from_numpy(pool.submit(_encode, windows.float().numpy()).result())
        except BrokenProcessPool as error:
            raise ConfigError(
                "engine='processes': a process could not start or was ended. A script that uses it must be guarded by "
                "if __name__ == '__main__'; memory may have run out; engine=None computes in this process"
            ) from error

    return encode


def _start(content: bytes) -> None:
    from axlstm.embed.embedder import Embedder

    torch.set_num_threads(1)
    checkpoint, options = pickle.loads(content)  # written by the process that started this one
    _own["embedder"] = Embedder(checkpoint, **options)


@torch.no_grad()
def _encode(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    frames: NDArray[np.float32] = _own["embedder"].encode(torch.from_numpy(windows)).float().numpy()
    return frames

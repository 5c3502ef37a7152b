"""Hold clips before and after the encoder, and batch their windows so that every core is at work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from axlstm.audio.read import Audio
from axlstm.errors import AudioError
from axlstm.model.frame_encoder import Encode
from axlstm.threads import ahead, on_all_cores

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder

BATCH_WINDOWS = defaultdict(lambda: 256, cpu=4)
"""Windows of a batch, by kind of device. On a CPU four keep the matrices of decays in the cache; more are no faster."""

_BATCHES_PER_GROUP = 32


@dataclass(frozen=True)
class Embedding:
    """Embeddings of a clip: scene ``(F,)`` (``(2 F,)`` with deviations), frames ``(T, F)``, timestamps_ms ``(T,)``.

    Arrays are float32; duration_s is the clip's length in seconds.
    """

    scene: NDArray[np.float32]
    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]
    duration_s: float


@dataclass(frozen=True)
class PreparedClip:
    """A clip as the encoder takes it: its samples at 16 kHz, and normalised windows ``(W, window_frames, bands)``.

    ``name`` is for messages.
    """

    samples: int
    windows: Tensor
    name: str = "the clip"


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames of a clip: frames ``(t, F)`` and timestamps_ms ``(t,)``, float32."""

    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]


def group_windows(embedder: Embedder) -> int:
    """Count the windows of neighbouring clips that are worth encoding together: fewer leave cores without work."""
    return _BATCHES_PER_GROUP * embedder.most_windows


def embed_in_groups(embedder: Embedder, clips: Iterable[Audio], sample_rate: int | None = None) -> Iterator[Embedding]:
    """Embed more clips than fit in memory, in order: the next ones are read while the encoder computes.

    Raises:
        AudioError, FileNotFoundError: as `Embedder.embed`, naming the clip by its index.
    """
    most = group_windows(embedder)
    group: list[PreparedClip] = []
    prepared = ahead(lambda clip: embedder.prepare(clip, sample_rate), clips, lambda clip: len(clip.windows), most)
    for index, (_, result) in enumerate(prepared):
        try:
            group.append(replace(result.result(), name=f"clip {index}"))
        except (AudioError, FileNotFoundError) as error:
            raise type(error)(f"clip {index}: {error}") from error
        if sum(len(clip.windows) for clip in group) >= most:
            yield from embedder.embed_prepared(group)
            group = []
    yield from embedder.embed_prepared(group)


def encode_windows(encode: Encode, windows: Tensor, out: Tensor, most: int) -> None:
    """Fill ``out (N, grid_frames, F)`` with the frames of ``windows (N, window_frames, bands)``.

    Args:
        encode: computes one batch; on a CPU it is called from all cores.
        most: windows in a batch.
    """

    def fill(batch: tuple[Tensor, Tensor]) -> None:
        some, frames = batch
        frames.copy_(encode(some))

    if windows.device.type == "cpu":
        rounds = -(-len(windows) // (most * torch.get_num_threads()))
        parts = min(len(windows), rounds * torch.get_num_threads())  # equal ones: no core waits for the last
        on_all_cores(fill, zip(windows.tensor_split(parts), out.tensor_split(parts), strict=True))
    else:
        for batch in zip(windows.split(most), out.split(most), strict=True):
            fill(batch)

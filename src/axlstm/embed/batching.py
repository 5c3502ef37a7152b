"""Hold clips before and after the encoder, and batch their windows so that every core is at work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.frontend import ArrayLogMel, normalise_array
from axlstm.audio.read import Audio
from axlstm.errors import AudioError
from axlstm.threads import ahead, count_cores, on_all_cores

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from axlstm.embed.embedder import Embedder
    from axlstm.embed.light import LightEmbedder
    from axlstm.model.config import ModelConfig
    from axlstm.model.frame_encoder import Encode
    from axlstm.model.layouts import TimeLayout

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
    """A clip as the encoder takes it: its samples at 16 kHz, and its normalised windows ``(frames, bands)`` in order.

    Windows are tensors, or arrays for an embedder without torch. ``name`` is for messages.
    """

    samples: int
    windows: Sequence[Any]
    name: str = "the clip"

    @property
    def encoded_frames(self) -> int:
        """Count the frames of its windows, which computing time goes with."""
        return sum(len(window) for window in self.windows)


def prepare_array(
    waveform: NDArray[np.float32], logmel: ArrayLogMel, layout: TimeLayout, config: ModelConfig, name: str
) -> PreparedClip:
    """Prepare a clip ``(n,)`` for OpenVINO, which computes the same whether torch is loaded or not."""
    normal = normalise_array(logmel(waveform)[: layout.mel_frames(len(waveform))])  # (frames, bands)
    padded = np.zeros((layout.encoded_frames(len(waveform)), normal.shape[1]), np.float32)
    padded[: len(normal)] = normal[: len(padded)]
    length = config.window_frames
    return PreparedClip(len(waveform), [padded[i : i + length] for i in range(0, len(padded), length)], name)


@dataclass(frozen=True)
class FrameBlock:
    """Consecutive frames of a clip: frames ``(t, F)`` and timestamps_ms ``(t,)``, float32; duration_s is the clip's."""

    frames: NDArray[np.float32]
    timestamps_ms: NDArray[np.float32]
    duration_s: float


def group_frames(embedder: Embedder | LightEmbedder) -> int:
    """Count the frames of neighbouring clips that are worth encoding together: fewer leave cores without work."""
    return _BATCHES_PER_GROUP * embedder.most_windows * embedder.config.window_frames


def embed_in_groups(embedder: Embedder, clips: Iterable[Audio], sample_rate: int | None = None) -> Iterator[Embedding]:
    """Embed more clips than fit in memory, in order: the next ones are read while the encoder computes.

    Raises:
        AudioError, FileNotFoundError: as `Embedder.embed`, naming the clip by its index.
    """
    most = group_frames(embedder)
    group: list[PreparedClip] = []
    prepared = ahead(lambda clip: embedder.prepare(clip, sample_rate), clips, lambda clip: clip.encoded_frames, most)
    for index, (_, result) in enumerate(prepared):
        try:
            group.append(replace(result.result(), name=f"clip {index}"))
        except (AudioError, FileNotFoundError) as error:
            raise type(error)(f"clip {index}: {error}") from error
        if sum(clip.encoded_frames for clip in group) >= most:
            yield from embedder.embed_prepared(group)
            group = []
    yield from embedder.embed_prepared(group)


def encode_windows(
    encode: Encode, windows: Sequence[Tensor], most: int, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """Compute the frame embeddings ``(T, F)`` of windows ``(frames, bands)``; those of one length share batches.

    Args:
        encode: computes one batch; on a CPU it is called from all cores.
        most: frames of log-mel in a batch, but for one window at least.
        device: where the embeddings are kept.
    """
    import torch

    if not windows:
        return []
    on_cpu = windows[0].device.type == "cpu"
    threads = count_cores() if on_cpu else 1
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, window in enumerate(windows):
        by_length[len(window)].append(index)
    batches = []
    for length, same in by_length.items():
        rounds = -(-len(same) * length // (most * threads))
        parts = min(len(same), rounds * threads)  # equal ones, the larger first: no core waits for the last
        batches += [part.tolist() for part in np.array_split(same, parts)]
    frames: dict[int, Tensor] = {}

    def fill(batch: Sequence[int]) -> None:
        of_batch = encode(torch.stack([windows[index] for index in batch])).to(device)  # (N, T, F)
        frames.update(zip(batch, of_batch, strict=True))

    if on_cpu:
        on_all_cores(fill, batches)
    else:
        for batch in batches:
            fill(batch)
    return [frames[index] for index in range(len(windows))]

"""Join an encoder and a head: windows of clips to scores of labels, of whole clips or of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pad_sequence

from axlstm.finetuning.config import FinetuneConfig
from axlstm.model.encoder import Encoder
from axlstm.model.layouts import TimeLayout
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.options import HeadPooling, TaskKind

_LEAST_VARIANCE = 1e-12  # of frames: the root of zero has no gradient
_PROJECTIONS = ("up", "down", "qkv", "out", "mlp_in", "mlp_out")
_EVALUATED_WINDOWS = 32  # at a time, without gradients


class ClipHead(nn.Module):
    """Frames of clips to scores of labels.

    Vectors are standardised with ``mean`` and ``deviation``, which are measured before training and stay.

    Args:
        size: of a frame.
        count: of labels.
        pooling: None scores every frame.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int, count: int, pooling: HeadPooling | None, dropout: float) -> None:
        super().__init__()
        self.pooling, self.dropout = pooling, dropout
        width = size * (2 if pooling == "mean+deviation" else 1)
        self.register_buffer("mean", torch.empty(width))
        self.register_buffer("deviation", torch.empty(width))
        self.linear = nn.Linear(width, count)
        self.attention = nn.Parameter(torch.empty(size)) if pooling == "attention" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let it say nothing yet: all scores are 0, and vectors are taken as they are."""
        nn.init.ones_(self.deviation)
        for values in (self.mean, self.linear.weight, self.linear.bias, self.attention):
            if values is not None:
                nn.init.zeros_(values)

    def pool(self, frames: Tensor, real: Tensor) -> Tensor:
        """Pool frames ``(B, T, F)``, of which ``real (B, T)`` are, to vectors ``(B, D)``; or return the frames."""
        if self.pooling is None:
            return frames
        if self.attention is not None:
            scores = (frames @ self.attention).masked_fill(~real, -torch.inf)  # (B, T)
            return (frames * scores.softmax(dim=1).unsqueeze(2)).sum(dim=1)
        share = real.unsqueeze(2).to(frames.dtype) / real.sum(dim=1)[:, None, None]  # (B, T, 1)
        mean = (frames * share).sum(dim=1)
        if self.pooling == "mean":
            return mean
        variance = ((frames - mean.unsqueeze(1)).square() * share).sum(dim=1)
        return torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()], dim=1)

    def forward(self, frames: Tensor, real: Tensor) -> Tensor:
        """Score clips ``(B, K)``, or frames ``(B, T, K)``."""
        return self.score(self.pool(frames, real))

    def score(self, vectors: Tensor) -> Tensor:
        """Score pooled vectors or frames ``(..., D)``: ``(..., K)``."""
        standard = (vectors - self.mean) / self.deviation
        out: Tensor = self.linear(F.dropout(standard, self.dropout, self.training))
        return out


class TunedNetwork(nn.Module):
    """An encoder with a head, which sees the real frames of clips only."""

    def __init__(self, encoder: Encoder, layout: TimeLayout, head: ClipHead, drop_path: float = 0.0) -> None:
        super().__init__()
        self.encoder, self.head, self._layout, self._drop_path = encoder, head, layout, drop_path

    def encode(self, windows: Tensor) -> Tensor:
        """Encode windows ``(W, frames, bands)`` as frames ``(W, T, F)``."""
        if not (self.training and self._drop_path):
            return self._layout.frames(self.encoder(windows))
        encoder, depth = self.encoder, len(self.encoder.blocks)
        x = encoder.embed_patches(windows)  # (W, S, D)
        for index, block in enumerate(encoder.blocks):
            keep = 1 - self._drop_path * (index + 1) / depth
            kept = torch.rand(len(x), 1, 1, device=x.device) < keep
            x = x + (block(x) - x) * (kept / keep).to(x.dtype)
        return self._layout.frames(encoder.norm(x)[:, int(encoder.config.cls_token) :])

    def frames_of(self, windows: Tensor, counts: Tensor, frames: Tensor, frozen: bool = False) -> tuple[Tensor, Tensor]:
        """Return the frames of clips side by side ``(B, T, F)``, float32, and which of them are real ``(B, T)``."""
        with torch.no_grad() if frozen else nullcontext():
            encoded = self.encode(windows).float()  # (W, t, F)
        clips = [own.flatten(0, 1) for own in encoded.split(counts.tolist())]
        clips = [own[:count] for own, count in zip(clips, frames.tolist(), strict=True)]
        padded = pad_sequence(clips, batch_first=True)  # (B, T, F)
        real = torch.arange(padded.shape[1], device=padded.device) < frames.to(padded.device).unsqueeze(1)
        return padded, real

    def forward(self, windows: Tensor, counts: Tensor, frames: Tensor, frozen: bool = False) -> tuple[Tensor, Tensor]:
        """Score clips; returns scores ``(B, K)`` or ``(B, T, K)``, float32, and which frames are real ``(B, T)``.

        Args:
            windows, counts, frames: as `axlstm.finetuning.reading.ClipBatch` has them.
            frozen: whether no gradient goes to the encoder.
        """
        padded, real = self.frames_of(windows, counts, frames, frozen)
        with torch.autocast(windows.device.type, enabled=False):
            return self.head(padded, real), real

    @torch.no_grad()
    def evaluate(self, windows: Tensor, counts: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (or frames) before the head's map, and which frames are real; long clips fit in memory."""
        parts = [self.encode(part).float() for part in windows.split(_EVALUATED_WINDOWS)]
        clips = [own.flatten(0, 1) for own in torch.cat(parts).split(counts.tolist())]
        padded = pad_sequence([own[:n] for own, n in zip(clips, frames.tolist(), strict=True)], batch_first=True)
        real = torch.arange(padded.shape[1], device=padded.device) < frames.to(padded.device).unsqueeze(1)
        return self.head.pool(padded, real), real


class LowRank(nn.Module):
    """Adds a product of two thin matrices to a weight ``(out, in)``, which is frozen (Hu et al. 2022, LoRA)."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def make_network(
    model: MaskedPatchModel, layout: TimeLayout, kind: TaskKind, count: int, config: FinetuneConfig
) -> TunedNetwork:
    """Make the network of a fine-tuning around a model's encoder, which it shares."""
    encoder = model.encoder
    encoder.mask_token.requires_grad_(False)  # nothing is hidden by it here
    if config.adapt.low_rank:
        encoder.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed ^ 0x10BA)
            for name, module in list(encoder.blocks.named_modules()):
                if isinstance(module, nn.Linear) and name.rpartition(".")[2] in _PROJECTIONS:
                    rows, columns = module.weight.shape
                    change = LowRank(rows, columns, min(config.adapt.low_rank, rows, columns))
                    parametrize.register_parametrization(module, "weight", change)
    pooling = None if kind == "events" else config.head.pooling
    head = ClipHead(model.config.embedding_size, count, pooling, config.head.dropout)
    return TunedNetwork(encoder, layout, head, config.adapt.drop_path)


def plain_weights(encoder: Encoder) -> dict[str, Tensor]:
    """Return the weights of an encoder by the names that they have in a checkpoint, low-rank changes added."""
    out: dict[str, Tensor] = {}
    for name, module in encoder.named_modules():
        if ".parametrizations" in name:
            continue
        for own, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            out[f"{name}.{own}".lstrip(".")] = value.detach().clone()
        if parametrize.is_parametrized(module):
            out[f"{name}.weight"] = module.weight.detach().clone()
    return out


class MovingAverage:
    """An exponential moving average of all parameters, begun with their first values."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.values = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Move a step towards the present values."""
        for name, parameter in network.named_parameters():
            if name in self.values:
                self.values[name].lerp_(parameter, 1 - self._decay)

    def load(self, values: Mapping[str, Any]) -> None:
        """Take up saved values."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def in_place(self, network: nn.Module) -> Iterator[None]:
        """Let the network have the average's values for as long as the block lasts."""
        own = {name: p for name, p in network.named_parameters() if name in self.values}
        before = {name: p.detach().clone() for name, p in own.items()}
        try:
            with torch.no_grad():
                for name, parameter in own.items():
                    parameter.copy_(self.values[name])
            yield
        finally:
            with torch.no_grad():
                for name, parameter in own.items():
                    parameter.copy_(before[name])

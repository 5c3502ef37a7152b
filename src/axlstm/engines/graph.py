"""Write the embedder as one graph without branches, in operations that every runtime has.

It takes the parallel form of the mLSTM, which is right for any gates; the factored form branches by their range.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.audio.frontend import FrontendConfig
from axlstm.audio.logmel import mel_filterbank
from axlstm.errors import ConfigError
from axlstm.mlstm.parallel import EPS
from axlstm.model.frame_encoder import FrameEncoder
from axlstm.model.mixer_weights import block_width
from axlstm.model.pooling import AnyPooling, pool
from axlstm.model.vil import NORM_EPS, AxLSTMBlock, BlockDiagonalLinear

STEP_MULTIPLE = 32
"""Steps are padded to a multiple of this: matrix units take no other number of bfloat16 terms in a product."""

_NEVER = -1e30
"""Logarithm of the decay to a step in the future: finite, since infinities make NaN in reduced precision."""

_MOST_EXPONENT = 80.0  # e^80 is finite in float32 and bfloat16; a step that is not real has no other bound


class PortableBlock(nn.Module):
    """An `AxLSTMBlock`: ``(B, S, D)`` to the same, of which ``real (B, S, 1)`` is 1 and not 0.

    What is not real is zero, and stays zero: its convolution, its values and its gate of the output are.

    A reversed block reads the tokens where they are, with its mask, its convolution and its sums turned around.
    q and k stem from the same activations x_c, so q k^T = x_c A x_c^T with one A per head. Channels come last, except
    in convolutions, which stand between two transpositions: runtimes leave these out where shapes are fixed and nothing
    comes between the pair. Some steps take more operations than they need for that reason.
    """

    x_m: Tensor
    value: Tensor
    z: Tensor
    gates_of_v: Tensor
    score: Tensor
    gates: Tensor
    gate_bias: Tensor
    taps: Tensor
    conv_bias: Tensor
    head_scale: Tensor
    skip: Tensor
    down: Tensor
    sums: Tensor
    future: Tensor

    @torch.no_grad()
    def __init__(self, block: AxLSTMBlock, steps: int) -> None:
        super().__init__()
        self.reverse, self.heads, self.inner = block.reverse, block.layer.config.heads, block.layer.config.inner_width
        layer, norm = copy.deepcopy(block.layer).double(), block.norm.double()  # constants are rounded once
        width, projection = self.inner // self.heads, layer.config.projection_block
        if width % projection:
            raise ConfigError(f"export: projection_block={projection} has to divide the head width {width}")
        self.groups = self.inner // block_width(width, projection)
        q, k, v = (_dense(each) for each in (layer.q, layer.k, layer.v))  # (I, I): output x input
        gates = torch.cat([layer.input_gate.weight, layer.forget_gate.weight])  # (2 H, 3 I)
        of_q, of_k, of_v = gates.chunk(3, dim=1)  # (2 H, I) each
        x_m_up, z_up = (layer.up.weight * (1 + norm)).chunk(2)  # (I, D) each: the norm's weight is in them
        taps = layer.conv.weight.detach()  # (I, 1, K)
        padded = steps + -steps % STEP_MULTIPLE
        earlier = torch.eye(padded, dtype=torch.float64)  # (S, S): row i sees columns j <= i, and no padding
        earlier[:steps, :steps] = torch.ones(steps, steps).tril()
        if self.reverse:
            taps, earlier = taps.flip(-1), earlier.t()
        constants = {
            "x_m": x_m_up.unsqueeze(-1),  # (I, D, 1)
            "value": _grouped(v, self.groups),  # (I, I / groups, 1)
            "z": z_up,  # (I, D)
            "gates_of_v": of_v @ v @ x_m_up,  # (2 H, D)
            "score": _grouped(k.t() @ q * width**-0.5, self.groups),  # (I, I / groups, 1)
            "gates": of_q @ q + of_k @ k,  # (2 H, I)
            "gate_bias": torch.cat([layer.input_gate.bias, layer.forget_gate.bias]),  # (2 H,)
            "taps": taps,
            "conv_bias": layer.conv.bias,
            "head_scale": 1 + layer.head_norm,  # (I,)
            "skip": layer.skip,  # (I,)
            "down": layer.down.weight,  # (D, I)
            "sums": earlier,  # (S, S)
            "future": (1 - earlier) * _NEVER,  # (S, S)
        }
        for name, value in constants.items():
            self.register_buffer(name, value.detach().float().contiguous().clone())

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)  # (B, S, D)
        x_m = F.conv1d(normed.transpose(1, 2), self.x_m)  # (B, I, S)
        x_c = F.silu(self._convolve(x_m).transpose(1, 2))  # (B, S, I)
        v = F.conv1d(x_m, self.value, groups=self.groups).transpose(1, 2)  # (B, S, I)
        q = F.conv1d(x_c.transpose(1, 2), self.score, groups=self.groups).transpose(1, 2)  # (B, S, I)
        gates = F.linear(normed, self.gates_of_v) + F.linear(x_c, self.gates, self.gate_bias)  # (B, S, 2 H)
        h = self._mlstm(q, x_c, v, gates, real).flatten(0, 1)  # (B H, S, DH)
        h = F.layer_norm(h, h.shape[-1:], eps=NORM_EPS).unflatten(0, (-1, self.heads))
        h = h.transpose(1, 2).flatten(2)  # (B, S, I)
        gated = (h * self.head_scale + self.skip * x_c) * F.silu(F.linear(normed, self.z))  # (B, S, I)
        return x + F.linear(gated, self.down)

    def _convolve(self, x_m: Tensor) -> Tensor:
        edge = self.taps.shape[-1] - 1
        padded = F.pad(x_m, (0, edge) if self.reverse else (edge, 0))  # (B, I, S + K - 1)
        return F.conv1d(padded, self.taps, self.conv_bias, groups=self.inner)

    def _mlstm(self, q: Tensor, k: Tensor, v: Tensor, gates: Tensor, real: Tensor) -> Tensor:
        """Compute `axlstm.mlstm.parallel` of q, k, v ``(B, S, I)``, the scale in q, to ``(B, H, S, DH)``.

        log D - m = a[j] - max a, a = igate - F. A step that is not real forgets nothing and adds nothing.
        """
        real = real.unsqueeze(1).transpose(2, 3)  # (B, 1, 1, S)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, H, S, DH)
        igate, fgate = gates.transpose(1, 2).unsqueeze(2).chunk(2, dim=1)  # (B, H, 1, S)
        log_f_sum = F.linear(_log_sigmoid(fgate) * real, self.sums)  # (B, H, 1, S): F
        a = igate - log_f_sum + (1 - real) * _NEVER + self.future  # (B, H, S, S)
        peak = a.amax(dim=-1, keepdim=True)  # (B, H, S, 1)
        scores = torch.bmm(q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)).unflatten(0, (-1, self.heads))
        c = scores * torch.exp(a - peak)  # (B, H, S, S)
        floor = torch.exp((-log_f_sum.transpose(2, 3) - peak).clamp_max(_MOST_EXPONENT))  # (B, H, S, 1): e^-m
        h: Tensor = torch.matmul(c, v) / (torch.maximum(c.sum(-1, keepdim=True).abs(), floor) + EPS)
        return h


class PortableEncoder(nn.Module):
    """A `FrameEncoder` without branches: windows ``(N, window_frames, bands)`` to frames ``(N, grid_frames, F)``.

    Windows have one size here. A shorter one is filled up to it, and ``patches (N,)`` of its patches in time are real.
    Their frames are those of the short window, for no block sees the others.

    Args:
        frame_encoder: in float32; its weights are copied where they are changed, shared where not.
    """

    def __init__(self, frame_encoder: FrameEncoder) -> None:
        super().__init__()
        self.config, self.layout, self.layers = frame_encoder.config, frame_encoder.layout, frame_encoder.layers
        self.encoder = frame_encoder.encoder
        steps = self.config.tokens + self.config.cls_token
        depth = self.config.depth if self.layers is None else max(self.layers)
        self.blocks = nn.ModuleList(
            PortableBlock(block, steps) if isinstance(block, AxLSTMBlock) else block
            for block in self.encoder.blocks[:depth]
        )

    def forward(self, windows: Tensor, patches: Tensor) -> Tensor:
        x = self.encoder.embed_patches(windows)  # (N, S, D)
        if self.config.family == "axlstm":
            x = F.pad(x, (0, 0, 0, -x.shape[1] % STEP_MULTIPLE))  # a token of zeros stays zero, and no other sees it
        count = patches * self.config.grid_bands + int(self.config.cls_token)  # (N,) real tokens
        real = (torch.arange(x.shape[1], device=x.device) < count.unsqueeze(1)).to(x.dtype).unsqueeze(2)  # (N, S, 1)
        x = x * real
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], real))
        kept = [self.encoder.norm(states[-1])] if self.layers is None else [states[layer] for layer in self.layers]
        tokens = torch.arange(self.config.tokens, device=x.device) + int(self.config.cls_token)
        return torch.cat([self.layout.frames(state.index_select(1, tokens)) for state in kept], dim=-1)


class WaveformModel(nn.Module):
    """Waveforms ``(B, n)`` to scenes ``(B, F)`` or ``(B, 2 F)``, frames ``(B, T, F)`` and their times in ms ``(T,)``.

    n is at least `FrontendConfig.window_samples`. The numbers are those of the embedder: see `Layout`.
    """

    dft: Tensor
    filters: Tensor

    def __init__(self, encoder: PortableEncoder, frontend: FrontendConfig, pooling: AnyPooling) -> None:
        super().__init__()
        self.encoder, self.frontend, self.layout, self.pooling = encoder, frontend, encoder.layout, pooling
        self.register_buffer("dft", windowed_dft(frontend))
        self.register_buffer("filters", mel_filterbank(frontend).t().contiguous())  # (M, bins)

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        samples = waveforms.shape[1]
        frames = self.encoder(*self._windows(waveforms, samples))  # (B W, grid_frames, F)
        kept = torch.arange(self.layout.frame_count(samples), device=frames.device)  # (T,)
        frames = frames.reshape(waveforms.shape[0], -1, frames.shape[-1]).index_select(1, kept)  # (B, T, F)
        return pool(frames, self.pooling), frames, self.layout.timestamps_ms(samples)

    def _windows(self, waveforms: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Do `axlstm.model.frame_encoder.cut_windows` for clips of one length: ``(B W, window_frames, bands)``.

        With them come the patches of time that are real in each: ``(B W,)``.
        """
        config = self.encoder.config
        mel = self._normalise(self._logmel(waveforms)[:, : self.layout.mel_frames(samples)])  # (B, frames, bands)
        mel = F.pad(mel, (0, 0, 0, config.window_frames))  # at most one window is missing
        encoded = self.layout.encoded_frames(samples)
        windows = (encoded + config.window_frames - 1) // config.window_frames
        kept = torch.arange(windows * config.window_frames, device=mel.device)
        cut = mel.index_select(1, kept)  # (B, W frames, bands)
        # Exporters take a sum, where they would make a case of its own of what is repeated for a batch of one.
        real = torch.zeros_like(cut[:, :, 0]) + (kept < encoded)  # (B, W frames)
        in_each = real.reshape(-1, config.window_frames).sum(dim=1) / config.patch_frames  # (B W,)
        return cut.reshape(-1, config.window_frames, config.mel_bands), in_each

    def _logmel(self, waveforms: Tensor) -> Tensor:
        """Do `axlstm.audio.logmel.LogMel`, its Fourier transform a convolution: ``(B, n)`` to ``(B, T, bands)``."""
        edge = self.frontend.window_samples // 2
        padded = F.pad(waveforms.unsqueeze(1), (edge, edge), mode="reflect")  # (B, 1, n + window)
        spectrum = F.conv1d(padded, self.dft, stride=self.frontend.hop_samples)  # (B, 2 bins, frames)
        real, imaginary = spectrum.chunk(2, dim=1)  # (B, bins, frames) each
        power = real * real + imaginary * imaginary
        return torch.log(F.linear(power.transpose(1, 2), self.filters) + self.frontend.log_offset)

    def _normalise(self, mel: Tensor) -> Tensor:
        """Do `axlstm.audio.logmel.normalise` for each clip, in float32.

        One of the values is subtracted first, so that a constant gives exact zeros; means are taken over the bands
        first, then over time, so that rounding does not add up over long clips.
        """
        count = mel.shape[1] * mel.shape[2]
        centred = mel - mel[:, :1, :1]
        centred = centred - centred.mean(dim=2, keepdim=True).mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=2, keepdim=True).mean(dim=1, keepdim=True) * (count / (count - 1))
        return centred / variance.sqrt().clamp_min(1e-8)  # exporters drop a sum with a term this small


def windowed_dft(config: FrontendConfig) -> Tensor:
    """Return the discrete Fourier transform with its Hann window as kernels of a convolution, ``(2 bins, 1, window)``.

    Real parts first, then imaginary ones; computed in float64 and rounded once.
    """
    length = config.window_samples
    sample = torch.arange(length, dtype=torch.float64)
    turns = torch.outer(torch.arange(length // 2 + 1, dtype=torch.float64), sample) % length / length  # (bins, window)
    window = torch.hann_window(length).double()
    kernels = torch.cat([torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)]) * window
    return kernels.float().unsqueeze(1)


def _dense(linear: BlockDiagonalLinear) -> Tensor:
    return torch.block_diag(*linear.weight)


def _log_sigmoid(x: Tensor) -> Tensor:
    """Compute log(1 / (1 + e^-x)) without cancellation, in operations that no exporter takes apart."""
    return x.clamp_max(0) - torch.log1p(torch.exp(-x.abs()))


def _grouped(weight: Tensor, groups: int) -> Tensor:
    """Turn a matrix ``(I, I)`` that is zero outside of its diagonal blocks into kernels of a grouped convolution."""
    return torch.cat([rows.chunk(groups, dim=1)[i] for i, rows in enumerate(weight.chunk(groups))]).unsqueeze(-1)

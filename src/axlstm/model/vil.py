"""Define the AxLSTM block: an mLSTM layer that reads the tokens left to right or right to left."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.mlstm import choose, mlstm
from axlstm.mlstm.choice import AUTO, LAYER
from axlstm.model.config import ModelConfig
from axlstm.model.mixer import mix
from axlstm.model.mixer_weights import LastPrepared, MixerWeights, Prepared, block_width, prepare, widen_blocks

NORM_EPS = 1e-5


class BlockDiagonalLinear(nn.Module):
    """Linear maps of neighbouring channels, block by block, without bias: ``(..., C)`` to ``(..., C)``."""

    def __init__(self, channels: int, block: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels // block, block, block))  # (blocks, out, in)

    def forward(self, x: Tensor) -> Tensor:
        blocks, _, width = self.weight.shape
        cells = x.unflatten(-1, (blocks, width))  # (..., blocks, in)
        return torch.einsum("...ni,noi->...no", cells, self.weight).flatten(-2)

    def pull_back(self, rows: Tensor) -> Tensor:
        """Turn weights ``(R, C)`` on this map's output into weights ``(R, C)`` on its input."""
        blocks, width, _ = self.weight.shape
        return torch.einsum("rno,noi->rni", rows.unflatten(-1, (blocks, width)), self.weight).flatten(-2)


class CausalConv(nn.Module):
    """Depthwise convolution over time that sees the present and the past only: ``(B, S, C)`` to the same."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, kernel))
        self.bias = nn.Parameter(torch.empty(channels))

    def reset_parameters(self) -> None:
        bound = self.weight.shape[-1] ** -0.5  # torch's default for a convolution of one input channel
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        past = self.weight.shape[-1] - 1
        padded = F.pad(x.transpose(1, 2), (past, 0))  # (B, C, past + S)
        return F.conv1d(padded, self.weight, self.bias, groups=self.weight.shape[0]).transpose(1, 2)


class MLSTMLayer(nn.Module):
    """Up-projection, causal convolution, mLSTM, per-head norm, gate, down-projection: ``(B, S, D)`` to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backend = AUTO  # or a name that `choose` gives
        inner = config.inner_width
        self.up = nn.Linear(config.width, 2 * inner, bias=False)
        self.conv = CausalConv(inner, config.conv_kernel)
        self.q = BlockDiagonalLinear(inner, config.projection_block)
        self.k = BlockDiagonalLinear(inner, config.projection_block)
        self.v = BlockDiagonalLinear(inner, config.projection_block)
        self.input_gate = nn.Linear(3 * inner, config.heads)
        self.forget_gate = nn.Linear(3 * inner, config.heads)
        self.head_norm = nn.Parameter(torch.empty(inner))  # residual: the applied weight is 1 + head_norm
        self.skip = nn.Parameter(torch.empty(inner))
        self.down = nn.Linear(inner, config.width, bias=False)
        self._last = LastPrepared()

    def reset_parameters(self) -> None:
        width = self.config.width
        for weight in (self.up.weight, self.q.weight, self.k.weight, self.v.weight):
            nn.init.normal_(weight, std=(2 / (5 * width)) ** 0.5)
        nn.init.normal_(self.down.weight, std=2 / width**0.5)
        nn.init.zeros_(self.input_gate.weight)
        nn.init.normal_(self.input_gate.bias, std=0.1)
        nn.init.zeros_(self.forget_gate.weight)
        with torch.no_grad():
            self.forget_gate.bias.copy_(torch.linspace(3.0, 6.0, self.config.heads))
        nn.init.zeros_(self.head_norm)
        nn.init.ones_(self.skip)
        self.conv.reset_parameters()

    def forward(self, x: Tensor, prepared: Prepared | None = None) -> Tensor:
        """Map tokens ``(B, S, D)`` to the same. ``prepared`` is from `prepare`, for this length and precision."""
        up = self.up(x)  # (B, S, 2 I)
        backend = self._choose(up.device, up.shape[1], up.dtype)
        in_layer = backend == LAYER
        mixed = mix(up, prepared or self._prepare(up.dtype)) if in_layer else self._mix(up, backend)  # (B, S, I)
        out: Tensor = self.down(mixed)
        return out

    def prepare(self, steps: int, dtype: torch.dtype) -> Prepared | None:
        """Prepare the present weights for sequences of ``steps``; None where they need no preparation."""
        if self._choose(self.skip.device, steps, dtype) != LAYER:
            return None
        between = [weight for name, weight in self.named_parameters() if not name.startswith(("up.", "down."))]
        return self._last.get(between, dtype, lambda: self._prepare(dtype))

    def _choose(self, device: torch.device, steps: int, dtype: torch.dtype) -> str:
        if self.backend != AUTO:
            return self.backend
        head_width = self.config.inner_width // self.config.heads
        in_layer = head_width % self.config.projection_block == 0 and not torch.compiler.is_compiling()
        return choose(device=device, steps=steps, dtype=dtype, head_width=head_width, in_layer=in_layer).name

    def _mix(self, up: Tensor, backend: str) -> Tensor:
        """Compute what lies between the projections: ``(B, S, 2 I)`` to ``(B, S, I)``, as `axlstm.model.mixer.mix`."""
        x_m, z = up.chunk(2, dim=-1)  # (B, S, I) each
        x_c = F.silu(self.conv(x_m))  # (B, S, I)
        q, k, v = self.q(x_c), self.k(x_c), self.v(x_m)  # (B, S, I)
        igate, fgate = self._gates(x_m, x_c).transpose(1, 2).chunk(2, dim=1)  # (B, H, S) each
        q, k, v = self._split_heads(q), self._split_heads(k), self._split_heads(v)  # (B, H, S, DH)
        h = mlstm(q, k, v, igate, fgate, backend=backend)  # (B, H, S, DH)
        h = F.layer_norm(h.transpose(1, 2), h.shape[-1:], eps=NORM_EPS)  # (B, S, H, DH)
        h = h.flatten(-2) * (1 + self.head_norm) + self.skip * x_c  # (B, S, I)
        return h * F.silu(z)

    def _gates(self, x_m: Tensor, x_c: Tensor) -> Tensor:
        """Map concat(q, k, v) to both gates, ``(B, S, 2 H)``, without making the concatenation."""
        of_x_c, of_x_m, bias = self._gate_weights()
        return F.linear(x_c, of_x_c, bias) + F.linear(x_m, of_x_m)

    def _gate_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return both gates as linear maps of x_c and x_m, ``(2 H, I)`` each, and their bias ``(2 H,)``.

        q, k and v are linear in x_c and x_m themselves, so the gates' weights can be carried over to those: 2 H
        rows of weights are mapped instead of B S rows of activations.
        """
        weight = torch.cat([self.input_gate.weight, self.forget_gate.weight])  # (2 H, 3 I)
        bias = torch.cat([self.input_gate.bias, self.forget_gate.bias])  # (2 H,)
        of_q, of_k, of_v = weight.chunk(3, dim=1)  # (2 H, I) each
        return self.q.pull_back(of_q) + self.k.pull_back(of_k), self.v.pull_back(of_v), bias

    def _prepare(self, dtype: torch.dtype) -> Prepared:
        return prepare(self._mixer_weights(), self.config.heads, dtype)

    def _mixer_weights(self) -> MixerWeights:
        wide = torch.promote_types(self.skip.dtype, torch.float32)
        with torch.autocast("cpu", enabled=False):
            width = block_width(self.config.inner_width // self.config.heads, self.config.projection_block)
            of_x_c, of_x_m, bias = self._gate_weights()
            scores = self.q.weight.transpose(1, 2) @ self.k.weight  # (blocks, in, in): q k^T = x_c scores x_c^T
            weights = MixerWeights(
                taps=self.conv.weight[:, 0].t(),
                conv_bias=self.conv.bias,
                scores=widen_blocks(scores, width),
                values=widen_blocks(self.v.weight.transpose(1, 2), width),
                gates_of_x_c=of_x_c,
                gates_of_x_m=of_x_m,
                gate_bias=bias,
                head_scale=1 + self.head_norm,
                skip=self.skip,
            )
            return MixerWeights(*(weight.to(wide).contiguous() for weight in weights))

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.config.heads, -1)).transpose(1, 2)  # (B, H, S, DH)


class AxLSTMBlock(nn.Module):
    """x + layer(norm(x)), over the reversed sequence if ``reverse``: ``(B, S, D)`` to the same."""

    def __init__(self, config: ModelConfig, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.norm = nn.Parameter(torch.empty(config.width))  # residual: the applied weight is 1 + norm
        self.layer = MLSTMLayer(config)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.norm)
        self.layer.reset_parameters()

    def forward(self, x: Tensor, prepared: Prepared | None = None) -> Tensor:
        normed = F.layer_norm(x, x.shape[-1:], weight=1 + self.norm, eps=NORM_EPS)  # (B, S, D)
        if self.reverse:
            out: Tensor = x + self.layer(normed.flip(1), prepared).flip(1)
        else:
            out = x + self.layer(normed, prepared)
        return out

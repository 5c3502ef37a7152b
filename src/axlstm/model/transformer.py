"""Define the SSAST block: a pre-norm transformer block (Dosovitskiy et al. 2021)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

import axlstm.vector_math
from axlstm.model.config import ModelConfig

NORM_EPS = 1e-6


class SSASTBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): ``(B, S, D)`` to the same."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.mlp_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp_in = nn.Linear(config.width, config.inner_width)
        self.mlp_out = nn.Linear(config.inner_width, config.width)

    def reset_parameters(self) -> None:
        for linear in (self.qkv, self.out, self.mlp_in, self.mlp_out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.attention_norm.reset_parameters()
        self.mlp_norm.reset_parameters()

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Map tokens ``(B, S, D)`` to the same. Where ``real (B, S, 1)`` is 0 and not 1, no token looks."""
        seen = None if real is None else real.transpose(1, 2).unsqueeze(1) > 0  # (B, 1, 1, S)
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))  # (B, S, 3, H, DH)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, S, DH) each
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(-2)  # (B, S, D)
        x = x + self.out(attended)
        out: Tensor = x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))
        return out

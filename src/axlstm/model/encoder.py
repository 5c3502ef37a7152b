"""Encode windows of log-mel as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.mixer_weights import Prepared
from axlstm.model.patches import PatchEmbedding, position_table
from axlstm.model.transformer import SSASTBlock
from axlstm.model.vil import AxLSTMBlock


class Encoder(nn.Module):
    """Patches plus positions, an optional CLS token in front, blocks, a final norm."""

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = PatchEmbedding(config)
        self.register_buffer("positions", torch.empty(config.tokens + config.cls_token, config.width))
        self.cls_token = nn.Parameter(torch.empty(config.width)) if config.cls_token else None
        self.mask_token = nn.Parameter(torch.empty(config.width))
        blocks: Iterable[nn.Module]
        if config.family == "axlstm":
            blocks = (AxLSTMBlock(config, reverse=index % 2 == 1) for index in range(config.depth))
        else:
            blocks = (SSASTBlock(config) for _ in range(config.depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def reset_parameters(self) -> None:
        """Draw fresh weights from torch's global generator."""
        self.positions.copy_(position_table(self.config))
        self.patches.reset_parameters()
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)
        for block in self.blocks:
            block.reset_parameters()  # type: ignore[operator]
        self.norm.reset_parameters()

    def embed_patches(self, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed windows ``(B, frames, bands)`` as the first block's tokens ``(B, S, D)``, CLS first if there is one.

        Args:
            mask: ``(B, tokens)``, true where a patch is hidden. A hidden patch becomes the mask token: with its
                position where the configuration says so, without it in the published model.
        """
        tokens = self.patches(windows)  # (B, tokens, D): a shorter window has the positions of its beginning
        positions = self.positions[int(self.config.cls_token) :][: tokens.shape[1]]
        tokens = tokens + positions
        if mask is not None:
            hidden = self.mask_token + positions if self.config.masked_positions else self.mask_token
            tokens = torch.where(mask.bool().unsqueeze(-1), hidden.to(tokens.dtype), tokens)
        if self.cls_token is not None:
            cls = (self.cls_token + self.positions[0]).to(tokens.dtype).expand(tokens.shape[0], 1, -1)
            tokens = torch.cat([cls, tokens], dim=1)  # (B, 1 + tokens, D)
        return tokens

    def prepare(self, dtype: torch.dtype) -> list[Prepared | None]:
        """Prepare the present weights of each block for windows of ``dtype``, for several calls of `forward`."""
        steps = len(self.positions)
        return [block.layer.prepare(steps, dtype) if isinstance(block, AxLSTMBlock) else None for block in self.blocks]

    def forward(
        self, windows: Tensor, mask: Tensor | None = None, prepared: Sequence[Prepared | None] | None = None
    ) -> Tensor:
        """Compute patch tokens after the last block and the final norm: ``(B, tokens, D)``, without CLS.

        Args:
            windows: ``(B, frames, bands)``, normalised.
            mask: as for `embed_patches`.
            prepared: from `prepare`; without it each block prepares its weights anew.
        """
        x = self.embed_patches(windows, mask)
        for index in range(len(self.blocks)):
            x = self._block(index, x, prepared)
        out: Tensor = self.norm(x)
        return out[:, int(self.config.cls_token) :]

    def hidden_states(
        self, windows: Tensor, layers: Iterable[int] | None = None, prepared: Sequence[Prepared | None] | None = None
    ) -> list[Tensor]:
        """Compute patch tokens after the chosen layers, each ``(B, tokens, D)``, before the final norm.

        Args:
            windows, prepared: as for `forward`.
            layers: 0 is the input of the first block, ``depth`` the output of the last; negative numbers
                count from the end. None gives all ``depth + 1``.

        Raises:
            ConfigError: a layer that does not exist.
        """
        chosen = check_layers(layers if layers is not None else range(self.config.depth + 1), self.config)
        x = self.embed_patches(windows)
        states = {0: x}
        for index in range(max(chosen)):
            x = self._block(index, x, prepared)
            if index + 1 in chosen:
                states[index + 1] = x
        return [states[layer][:, int(self.config.cls_token) :] for layer in chosen]

    def _block(self, index: int, x: Tensor, prepared: Sequence[Prepared | None] | None) -> Tensor:
        block, ready = self.blocks[index], None if prepared is None else prepared[index]
        out: Tensor = block(x) if ready is None else block(x, ready)
        return out


def check_layers(layers: Iterable[int], config: ModelConfig) -> list[int]:
    """Return layer numbers as 0 .. depth; negative ones count from the end.

    Raises:
        ConfigError: no layer at all, or one that does not exist.
    """
    given = list(layers)
    chosen = [layer + config.depth + 1 if layer < 0 else layer for layer in given]
    if not chosen or any(not 0 <= layer <= config.depth for layer in chosen):
        raise ConfigError(f"layers={given}: expected numbers from 0 (patches) to {config.depth} (last block)")
    return chosen

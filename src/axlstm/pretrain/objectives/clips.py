"""Train projections of two crops of a recording to agree, and those of different recordings not to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.model.config import ModelConfig
from axlstm.pretrain.config import ClipsConfig
from axlstm.training.world import World

_EPS = 1e-4  # VICReg's, under the root of the variance


class ClipHead(nn.Module):
    """Compare the two crops of each recording with the whole batch, over all processes."""

    def __init__(self, model: ModelConfig, config: ClipsConfig, world: World) -> None:
        super().__init__()
        self._bands, self._config, self._world = model.grid_bands, config, world
        # A layer norm, where VICReg has a batch norm: no statistics to share between processes or to save.
        self.projector = nn.Sequential(
            nn.Linear(model.embedding_size, config.width),
            nn.LayerNorm(config.width),
            nn.GELU(),
            nn.Linear(config.width, config.width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the loss ``()`` of ``tokens (2 P, tokens, D)``: two crops of a recording, two of the next, and so on.

        Every process computes the loss of all processes' crops. Its gradient is that of its own crops times the number
        of processes, so that DDP's mean over processes is the gradient of the whole.
        """
        frames = tokens.unflatten(1, (-1, self._bands)).flatten(2)  # (2 P, grid_frames, embedding_size)
        projected = self.projector(frames.mean(1)).float()  # (2 P, width)
        one, other = self._gathered(projected).unflatten(0, (-1, 2)).unbind(1)  # (all pairs, width) each
        if self._config.kind == "nt-xent":
            return nt_xent(one, other, self._config.temperature)
        invariance, variance, covariance = vicreg_terms(one, other)
        config = self._config
        return config.invariance * invariance + config.variance * variance + config.covariance * covariance

    def _gathered(self, rows: Tensor) -> Tensor:
        """Gather rows ``(n, width)`` of all processes by rank: ``(size * n, width)``."""
        size = self._world.size
        if size == 1:
            return rows
        every = self._world.gather_rows(rows.detach())
        own = rows.clone()
        if own.requires_grad:
            own.register_hook(lambda gradient: gradient * size)
        every[self._world.rank] = own
        return torch.cat(every)


def vicreg_terms(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute invariance, variance and covariance of projections ``(N, width)`` (Bardes, Ponce & LeCun 2022).

    Invariance is the mean squared distance of a pair. Variance is how far each channel's deviation lies below one.
    Covariance is the sum of squares off the diagonal of the covariance matrix, divided by the width.
    """
    invariance = F.mse_loss(one, other)
    variance, covariance = one.new_zeros(()), one.new_zeros(())
    for view in (one, other):
        centred = view - view.mean(0)
        matrix = centred.T @ centred / (len(view) - 1)  # (width, width)
        deviation = (matrix.diagonal() + _EPS).sqrt()
        variance = variance + F.relu(1 - deviation).mean() / 2
        covariance = covariance + (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]
    return invariance, variance, covariance


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Compute the contrastive loss of pairs ``(N, width)`` against the ``2 N - 2`` others (Chen et al. 2020)."""
    rows = F.normalize(torch.cat([one, other]), dim=1)  # (2 N, width)
    similarity = rows @ rows.T / temperature  # (2 N, 2 N)
    similarity = similarity.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf)
    partner = torch.arange(len(rows), device=rows.device).roll(len(one))
    return F.cross_entropy(similarity, partner)

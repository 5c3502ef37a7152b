"""Cut windows of log-mel into patches and join them, add positions, and choose which patches are hidden."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import axlstm.vector_math
from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.options import Masking, check_choice

_BLOCK = 5  # patches along each side of a visible block


def to_patches(windows: Tensor, config: ModelConfig) -> Tensor:
    """Cut windows ``(B, frames, bands)`` of at most ``window_frames`` into ``(B, tokens, patch_pixels)``.

    Tokens are time-major (token = grid_bands * time + band); so are the values inside a patch: for each of
    its frames, the bands.

    Raises:
        ConfigError: windows of more frames than the configuration's, of a part of a patch, or of other bands.
    """
    most, step = config.window_frames, config.patch_frames
    if windows.ndim != 3 or windows.shape[2] != config.mel_bands or windows.shape[1] not in range(step, most + 1, step):
        expected = f"(batch, {most} or fewer by {step}, {config.mel_bands})"
        raise ConfigError(f"windows: expected {expected}, got {tuple(windows.shape)}")
    batch = windows.shape[0]
    cells = windows.reshape(batch, -1, step, config.grid_bands, config.patch_bands)  # (B, T, pt, K, pk)
    return cells.transpose(2, 3).reshape(batch, -1, config.patch_pixels)


def from_patches(patches: Tensor, config: ModelConfig) -> Tensor:
    """Invert `to_patches`: ``(B, tokens, patch_pixels)`` to ``(B, frames, bands)``."""
    batch = patches.shape[0]
    cells = patches.reshape(
        batch, config.grid_frames, config.grid_bands, config.patch_frames, config.patch_bands
    )  # (B, T, K, pt, pk)
    return cells.transpose(2, 3).reshape(batch, config.window_frames, config.mel_bands)


def patch_targets(windows: Tensor, config: ModelConfig, normalise_targets: bool) -> Tensor:
    """Cut targets ``(B, tokens, patch_pixels)``; on request each is brought to zero mean and unit deviation."""
    patches = to_patches(windows, config)
    if not normalise_targets:
        return patches
    mean, deviation = _patch_statistics(patches)
    return (patches - mean) / deviation


def undo_patch_normalisation(prediction: Tensor, windows: Tensor, config: ModelConfig) -> Tensor:
    """Bring predictions of normalised targets ``(B, tokens, patch_pixels)`` to each patch's level and contrast."""
    mean, deviation = _patch_statistics(to_patches(windows, config))
    return prediction * deviation + mean


def _patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def position_table(config: ModelConfig) -> Tensor:
    """Compute fixed sin-cos positions in two dimensions: ``(tokens, width)``, with a zero row in front for CLS.

    The first half of the channels encodes the band, the second the time: each a quarter of sines and a
    quarter of cosines of index * 10000^(-i / (width / 4)).
    """
    quarter = config.width // 4
    rates = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)  # (D / 4,)

    def encode(indices: Tensor) -> Tensor:
        angles = indices.double().unsqueeze(-1) * rates  # (tokens, D / 4)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (tokens, D / 2)

    token = torch.arange(config.tokens)
    table = torch.cat([encode(token % config.grid_bands), encode(token // config.grid_bands)], dim=-1)
    if config.cls_token:
        table = torch.cat([torch.zeros(1, config.width, dtype=torch.float64), table])
    return table.float()  # (tokens [+ 1], D)


class PatchEmbedding(nn.Module):
    """One linear map of each patch's pixels: what a convolution with stride equal to its kernel does."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.projection = nn.Linear(config.patch_pixels, config.width)

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows ``(B, frames, bands)`` as tokens ``(B, tokens, width)``."""
        out: Tensor = self.projection(to_patches(windows, self.config))
        return out


def random_mask(
    batch: int,
    config: ModelConfig,
    ratio: float = 0.5,
    masking: Masking = "unstructured",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw which patches are hidden: ``(B, tokens)`` bool, the same count in every row.

    Args:
        ratio: share hidden, in [0, 1).
        masking: ``"unstructured"`` hides patches one by one, ``"timestep"`` all bands of a patch of time;
            ``"inverse-blocks"`` leaves blocks of neighbouring patches visible (Baevski et al. 2023).
        generator: source of the random numbers; the mask is made on its device.

    Raises:
        ConfigError: a ratio or masking that does not exist.
    """
    check_choice("masking", masking, Masking)
    if not 0 <= ratio < 1:
        raise ConfigError(f"mask ratio {ratio}: expected at least 0 and below 1")
    units = config.grid_frames if masking == "timestep" else config.tokens
    device = generator.device if generator is not None else torch.device("cpu")
    noise = torch.rand(batch, units, generator=generator, device=device)  # (B, units)
    kept = int(units * (1 - ratio))
    if masking == "inverse-blocks":
        noise = torch.stack([_block_order(row, config) for row in noise])
    mask = noise.argsort(dim=1).argsort(dim=1) >= kept  # (B, units)
    return mask.repeat_interleave(config.grid_bands, dim=1) if masking == "timestep" else mask


def _block_order(noise: Tensor, config: ModelConfig) -> Tensor:
    """Order patches by the blocks that cover them: ``noise (tokens,)`` in [0, 1) to numbers that grow in that order.

    A block is the square of `_BLOCK` patches around a patch, as far as it lies in the window. Blocks come in the order
    of their patch's noise, and so do the patches of one block.
    """
    time = torch.arange(config.tokens, device=noise.device) // config.grid_bands
    band = torch.arange(config.tokens, device=noise.device) % config.grid_bands
    centres = noise.argsort()
    distance = torch.maximum((time - time[centres][:, None]).abs(), (band - band[centres][:, None]).abs())
    within = distance <= _BLOCK // 2  # (centres, tokens)
    return within.to(torch.uint8).argmax(dim=0) + noise  # the first block that covers each

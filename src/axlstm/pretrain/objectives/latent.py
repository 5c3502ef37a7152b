"""Make latent targets by an EMA teacher of the same encoder, and predict its states."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.model.config import ModelConfig
from axlstm.model.encoder import Encoder
from axlstm.model.lengths import encoder_at_length
from axlstm.options import LatentNorm
from axlstm.pretrain.config import LatentConfig
from axlstm.training.world import World

_EPS = 1e-5
_CENTRE_DECAY = 0.99  # of the running moments of clip targets


class LatentTargets(NamedTuple):
    """Targets of whole windows: ``patches (B, tokens, D)``, and ``clip (B, D)``; both float32."""

    patches: Tensor
    clip: Tensor


def normalise_states(states: Tensor, over: LatentNorm) -> Tensor:
    """Bring states ``(B, tokens, D)`` to zero mean and unit variance.

    Args:
        over: ``"dimension"``: each channel over the tokens of a window, as data2vec 2.0 does; ``"token"``: each token
            over its channels.
    """
    axis = 1 if over == "dimension" else 2
    variance, mean = torch.var_mean(states, dim=axis, correction=0, keepdim=True)
    return (states - mean) * torch.rsqrt(variance + _EPS)


class EMATeacher:
    """An encoder whose weights follow the student's: teacher = decay * teacher + (1 - decay) * student at a step.

    The mean of a window's states is standardised by running moments over the windows of all steps so far, so that what
    all windows have in common is no part of the target. They change between steps only: the targets of a step do not
    depend on how its batch is split.
    """

    def __init__(self, student: Encoder, config: LatentConfig) -> None:
        self.config = config
        device = student.mask_token.device
        self.encoder = Encoder(student.config).to(device)
        self.encoder.load_state_dict(student.state_dict())
        self.encoder.requires_grad_(False).eval()
        self._lengths = {student.config.window_frames: self.encoder}
        # Bias-corrected as in Adam: decayed sums of 1, of clip targets and of their squares.
        self._moments = torch.zeros(1 + 2 * student.config.width, dtype=torch.float64, device=device)
        self._seen = torch.zeros_like(self._moments)

    @torch.no_grad()
    def targets(self, windows: Tensor, note: bool) -> LatentTargets:
        """Compute the targets of whole windows ``(B, frames, bands)``, and on request ``note`` them for `follow`."""
        depth = self.encoder.config.depth
        layers = range(depth + 1 - self.config.layers, depth + 1)
        encoder = self._at_length(windows.shape[1])
        states = [state.float() for state in encoder.hidden_states(windows, layers)]  # (B, tokens, D) each
        over = self.config.normalise
        patches = normalise_states(torch.stack([normalise_states(state, over) for state in states]).mean(0), over)
        by_token = torch.stack([normalise_states(state, "token") for state in states]).mean(0)  # (B, tokens, D)
        clip = by_token.mean(1)  # (B, D)
        if note:
            wide = clip.double()
            self._seen += torch.cat([wide.new_tensor([len(wide)]), wide.sum(0), wide.square().sum(0)])
        return LatentTargets(patches, self._standardise(clip))

    def _at_length(self, window_frames: int) -> Encoder:
        if window_frames not in self._lengths:
            self._lengths[window_frames] = encoder_at_length(self.encoder, window_frames)
        return self._lengths[window_frames]

    def _standardise(self, clip: Tensor) -> Tensor:
        count, sums = self._moments[0].clamp_min(1e-300), self._moments[1:]
        mean, square = (sums / count).chunk(2)
        if not self._moments[0]:  # before the first step
            square = torch.ones_like(square)
        deviation = (square - mean.square()).clamp_min(0).sqrt() + _EPS
        return ((clip - mean) / deviation).float()

    @torch.no_grad()
    def follow(self, student: Encoder, progress: float, world: World) -> None:
        """Move towards the student's weights after a step, and take the windows of the step into the moments.

        Args:
            progress: share of the run that is done. The decay goes from its first value to its last with it.
        """
        first, last = self.config.decay, self.config.final_decay
        decay = first + (last - first) * progress
        torch._foreach_lerp_(list(self.encoder.parameters()), list(student.parameters()), 1 - decay)
        seen = world.sum(self._seen)
        self._moments = _CENTRE_DECAY * self._moments + (1 - _CENTRE_DECAY) * seen
        self.forget()

    def forget(self) -> None:
        """Drop the windows noted since the last step."""
        self._seen = torch.zeros_like(self._moments)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs."""
        weights = {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()}
        return {**weights, "moments": self._moments}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Invert `state_dict`."""
        weights = {name.removeprefix("encoder."): value for name, value in state.items() if name != "moments"}
        self.encoder.load_state_dict(weights)
        self._moments.copy_(state["moments"])
        self.forget()


class LatentHeads(nn.Module):
    """Predict the teacher's states of hidden patches from the student's tokens, and the window's mean from theirs."""

    def __init__(self, model: ModelConfig, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = mlp(model.width) if config.weight else None
        self.clip = mlp(model.width) if config.clip_weight else None

    def forward(self, tokens: Tensor, mask: Tensor, targets: LatentTargets) -> dict[str, Tensor]:
        """Compute mean squared errors: ``latent`` of hidden patches, ``latent_clip`` of means over time.

        Args:
            tokens, mask: ``(M * B, tokens, D)`` and ``(M * B, tokens)``: all crops under one mask, then all under the
                next.
            targets: of the ``B`` crops.
        """
        losses = {}
        masks = len(tokens) // len(targets.clip)
        if self.patches is not None:
            target = targets.patches.repeat(masks, 1, 1)
            error = (self.patches(tokens).float() - target).square().mean(-1)  # (M * B, tokens)
            hidden = mask.to(error.dtype)
            losses["latent"] = (error * hidden).sum() / hidden.sum().clamp_min(1)
        if self.clip is not None:
            predicted = self.clip(tokens.mean(1)).float()  # (M * B, D)
            losses["latent_clip"] = F.mse_loss(predicted, targets.clip.repeat(masks, 1))
        return losses


def mlp(width: int) -> nn.Sequential:
    """Make a head of two layers: ``(..., width)`` to the same."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

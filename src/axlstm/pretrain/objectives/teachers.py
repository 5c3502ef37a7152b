"""Regress the embeddings of frozen encoders from the student's frames by linear heads."""

from __future__ import annotations

from torch import Tensor, nn

from axlstm.data.reader import Taught
from axlstm.model.config import ModelConfig


class TeacherHead(nn.Module):
    """Regress one teacher's standardised embeddings.

    The head is linear, so that a linear probe finds what is learnt. The student's frames are those that embeddings
    are made of: all bands of a patch of time side by side.

    Args:
        size: of the teacher's embeddings.
        frames, clip: which losses are wanted.
    """

    def __init__(self, model: ModelConfig, size: int, frames: bool, clip: bool) -> None:
        super().__init__()
        self._bands = model.grid_bands
        self.frames = nn.Linear(model.embedding_size, size) if frames else None
        self.clip = nn.Linear(model.embedding_size, size) if clip else None

    def forward(self, tokens: Tensor, taught: Taught) -> tuple[Tensor | None, Tensor | None]:
        """Compute the mean squared errors of frames and of clips; zero for crops whose embeddings are not there.

        Args:
            tokens: ``(M * B, tokens, D)``: all crops under one mask, then all under the next.
            taught: the targets of the ``B`` crops.
        """
        masks = len(tokens) // len(taught.present)
        present = taught.present.repeat(masks).float()  # (M * B,)
        frames = tokens.unflatten(1, (-1, self._bands)).flatten(2)  # (M * B, grid_frames, embedding_size)
        of_frames = of_clips = None
        if self.frames is not None:
            error = self.frames(frames).float() - taught.frames.repeat(masks, 1, 1)  # (M * B, grid_frames, size)
            of_frames = _mean_over(error.square().mean((1, 2)), present)
        if self.clip is not None:
            error = self.clip(frames.mean(1)).float() - taught.clip.repeat(masks, 1)  # (M * B, size)
            of_clips = _mean_over(error.square().mean(1), present)
        return of_frames, of_clips


def _mean_over(errors: Tensor, present: Tensor) -> Tensor:
    """Average ``errors (N,)``, taken as zero where ``present (N,)`` is zero: the same however a batch is split."""
    return (errors * present).mean()

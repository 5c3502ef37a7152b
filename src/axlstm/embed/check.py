"""Check embeddings a last time before they are given out."""

from __future__ import annotations

from torch import Tensor

import axlstm.vector_math
from axlstm.errors import AudioError


def check_frames(frames: Tensor, *names: str) -> None:
    """Refuse frame embeddings ``(B, T, F)`` with NaN or infinity.

    Args:
        names: of the B sounds.

    Raises:
        AudioError: naming the first sound whose embeddings hold some.
    """
    finite = frames.flatten(1).sum(1).isfinite()  # (B,)
    if not finite.all():
        raise AudioError(
            f"{names[int(finite.int().argmin())]}: its embedding holds NaN or infinity, though its samples do not: "
            'either the weights hold some, or the encoder overflows in this precision; try dtype="float32"'
        )

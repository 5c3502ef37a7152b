"""Identify what an embedder computes. This module loads no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from axlstm.options import EngineName, LayoutName, Padding, Precision


def embedding_fingerprint(
    weights: str,
    *,
    layout: LayoutName,
    layers: Sequence[int] | None,
    precision: Precision,
    engine: EngineName | None,
    pooling: str,
    padding: Padding,
) -> str:
    """Return 16 hex digits that embeddings of the same numbers share.

    Engines other than torch are named: their numbers agree with torch's to 1e-4 and no closer, so that embeddings of
    two engines do not lie in one output without a question.

    Args:
        weights: the fingerprint of weights and configuration.
    """
    parts = [weights, layout, str(layers if layers is None else list(layers)), f"torch.{precision}"]
    parts += [engine] if engine not in (None, "processes") else []
    parts += [pooling] if pooling != "mean" else []
    parts += ["not padded"] if padding == "none" else []
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]

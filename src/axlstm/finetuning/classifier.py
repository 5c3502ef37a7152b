"""Make the classifier that a fine-tuned model is used as: its encoder beside it, its head, what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from axlstm.checkpoints.own import Checkpoint
from axlstm.collection.classifiers.classifier import BESIDE, Classifier, FrameRule, Layer
from axlstm.collection.folder import EncoderEntry
from axlstm.embed.embedder import Embedder
from axlstm.finetuning.clips import Parts
from axlstm.finetuning.network import ClipHead
from axlstm.options import EmbedderOptions, HeadMode


def make_classifier(checkpoint: Checkpoint, head: ClipHead, parts: Parts, window_s: float) -> Classifier:
    """Make an uncalibrated classifier.

    Args:
        window_s: of the windows that recordings are cut into.
    """
    options: EmbedderOptions = {"pooling": "mean+deviation"} if head.pooling == "mean+deviation" else {}
    embedder = Embedder(checkpoint, **options)
    kept: dict[str, Any] = dict(options)
    size = embedder.scene_embedding_size
    frames = FrameRule() if parts.kind == "events" else None
    patch_s = checkpoint.model.config.patch_frames * checkpoint.frontend.hop_samples / embedder.sample_rate
    lengths = (window_s, window_s / 2) if frames is None else (patch_s, patch_s)
    entry = EncoderEntry(0, checkpoint.name, BESIDE, embedder.fingerprint, size, *lengths, kept)
    count = len(parts.labels)
    mode: HeadMode = "multilabel" if parts.kind == "events" else parts.kind
    middle, spread = parts.value_scale if parts.kind == "regression" else (0.0, 1.0)
    attention = None if head.attention is None else head.attention.detach().cpu().numpy()
    return Classifier(
        labels=parts.labels,
        mode=mode,
        encoder=entry,
        mean=head.mean.cpu().numpy(),
        deviation=head.deviation.cpu().numpy(),
        layers=(Layer(head.linear.weight.detach().cpu().numpy(), head.linear.bias.detach().cpu().numpy()),),
        slope=np.full(count, spread),
        offset=np.full(count, middle),
        thresholds=np.full(count, 0.5),
        attention=attention,
        frames=frames,
    )

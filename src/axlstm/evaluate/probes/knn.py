"""Vote by nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from axlstm.evaluate.probes.data import Part

_ROWS_AT_ONCE = 1024
_LEAST_PROBABILITY = 1e-6


def vote(counts: Sequence[float], train: Part, part: Part, is_multiclass: bool) -> Tensor:
    """Compute logits ``(len(counts), n, K)`` from the labels of the k nearest training clips by cosine similarity.

    A probability is (votes + share of the class in training) / (k + 1), which orders equal votes.
    """
    target = train.target()  # (N, K)
    prior = target.mean(dim=0)  # (K,)
    nearest = torch.cat(
        [_nearest(int(max(counts)), train, part, a, b) for a, b in part.batches(_ROWS_AT_ONCE)]
    )  # (n, k)
    votes = torch.stack([target[nearest[:, : int(k)]].sum(dim=1) for k in counts])  # (len(counts), n, K)
    shares = (votes + prior) / (torch.tensor(counts)[:, None, None] + 1)
    shares = shares.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return shares.log() if is_multiclass else torch.logit(shares)


def _nearest(k: int, train: Part, part: Part, start: int, stop: int) -> Tensor:
    """Find the rows of the k most similar training clips, the nearest first: ``(stop - start, k)``."""
    queries = F.normalize(part.embeddings(start, stop), dim=1)  # (B, D)
    values = torch.empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64)
    for a, b in train.batches(_ROWS_AT_ONCE):
        similarity = queries @ F.normalize(train.embeddings(a, b), dim=1).t()  # (B, b - a)
        values = torch.cat([values, similarity], dim=1)
        rows = torch.cat([rows, torch.arange(a, b).expand(len(queries), -1)], dim=1)
        values, order = values.topk(min(k, values.shape[1]), dim=1)
        rows = rows.gather(1, order)
    return rows

"""Evaluate by nearest neighbours, without training and so without seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from axlstm.evaluate.probes.data import Part, ProbeData
from axlstm.evaluate.probes.selection import Check, Judge

_ROWS_AT_ONCE = 1024
_LEAST_PROBABILITY = 1e-6


def choose_neighbours(candidates: Sequence[int], data: ProbeData, judge: Judge) -> tuple[int, Check, float]:
    """Find the number of neighbours that scores best on the validation split, its check, and the minutes taken.

    Candidates above the number of training clips are cut to it; the first of equal ones wins.
    """
    began = time.perf_counter()
    counts = sorted({min(k, len(data.train)) for k in candidates})
    checks = judge.check_members(0, vote(counts, data.train, data.valid, judge.is_multiclass))
    sign = 1 if judge.maximise else -1
    best = max(range(len(counts)), key=lambda i: (sign * checks[i].value, -i))
    return counts[best], checks[best], (time.perf_counter() - began) / 60


def vote(counts: Sequence[int], train: Part, part: Part, is_multiclass: bool) -> Tensor:
    """Compute logits ``(len(counts), n, K)`` from the labels of the k nearest training clips by cosine similarity.

    A probability is (votes + share of the class in training) / (k + 1), which orders equal votes.
    """
    target = train.target()  # (N, K)
    prior = target.mean(dim=0)  # (K,)
    nearest = torch.cat([_nearest(max(counts), train, part, a, b) for a, b in part.batches(_ROWS_AT_ONCE)])  # (n, k)
    votes = torch.stack([target[nearest[:, :k]].sum(dim=1) for k in counts])  # (len(counts), n, K)
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

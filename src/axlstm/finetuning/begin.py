"""Begin a head: measure the vectors of the frozen encoder, and fit the best linear probe on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from axlstm.finetuning.network import ClipHead, TunedNetwork
from axlstm.finetuning.reading import BatchMaker
from axlstm.options import TaskKind

MOST_CLIPS = 5000  # that a probe is fitted on
_MOST_FRAMES = 20_000  # of all clips, of a head that scores frames
STRENGTHS = (0.05, 0.2, 0.6, 2.0, 6.0)
"""Deviations that scores have before any clip is seen, of which validation chooses one."""

_STEPS = 100  # of L-BFGS


class Vectors(NamedTuple):
    """Vectors before a head's linear map ``(n, D)``, and targets ``(n, K)``, NaN where nothing is known."""

    values: Tensor
    targets: Tensor


def measure(network: TunedNetwork, maker: BatchMaker, device: torch.device, seed: int = 0) -> Vectors:
    """Compute the vectors of clips with the encoder as it is; of events, those of frames."""
    count = len(maker.reader)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(count)[:MOST_CLIPS]) if count > MOST_CLIPS else np.arange(count)
    each = max(1, _MOST_FRAMES // max(1, len(chosen)))
    values, targets = [], []
    for index in chosen.tolist():
        batch = maker.whole([index])
        vectors, real = network.evaluate(batch.windows.to(device), batch.counts, batch.frames)
        of_batch = batch.targets
        if maker.kind == "events":
            own, of_batch = vectors[0][real[0]].cpu(), of_batch[0]
            some = np.sort(rng.permutation(len(own))[:each])
            vectors, of_batch = own[some], of_batch[some]
        values.append(vectors.cpu())
        targets.append(of_batch)
    return Vectors(torch.cat(values), torch.cat(targets))


def standardise(head: ClipHead, train: Vectors) -> None:
    """Let a head standardise with the mean and deviation of training vectors; constant values have no say."""
    mean, deviation = train.values.double().mean(dim=0), train.values.double().std(dim=0, correction=0)
    is_constant = deviation <= 1e-7 * mean.abs().clamp_min(1)
    head.mean.copy_(mean)
    head.deviation.copy_(deviation.masked_fill(is_constant, torch.inf))


def fit_probe(head: ClipHead, train: Vectors, valid: Vectors, kind: TaskKind) -> dict[float, float]:
    """Fit a head's linear map by regression with a normal prior, of the strength with the lowest validation loss.

    Returns:
        the validation loss of each strength.
    """
    size = train.values.shape[1]
    x, of_valid = (((part.values.to(head.mean) - head.mean) / head.deviation).cpu() for part in (train, valid))
    losses: dict[float, float] = {}
    best: tuple[float, Tensor, Tensor] | None = None
    weight, bias = torch.zeros(train.targets.shape[1], size), torch.zeros(train.targets.shape[1])
    for strength in STRENGTHS:
        weight, bias = _solve(x, train.targets, kind, size / (strength**2 * len(x)), weight, bias)
        loss = float(loss_of(F.linear(of_valid, weight, bias), valid.targets, kind))
        losses[strength] = loss
        if best is None or loss < best[0]:
            best = loss, weight, bias
    assert best is not None
    with torch.no_grad():
        head.linear.weight.copy_(best[1])
        head.linear.bias.copy_(best[2])
    return losses


def _solve(
    x: Tensor, targets: Tensor, kind: TaskKind, decay: float, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Minimise the mean loss plus ``decay`` / 2 times the squares of the weights, from where the last one ended."""
    weight, bias = weight.clone().requires_grad_(True), bias.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-7)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of(F.linear(x, weight, bias), targets, kind) * targets.shape[1] ** (kind != "multiclass")
        loss = loss + 0.5 * decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    return weight.detach(), bias.detach()


def loss_of(
    scores: Tensor, targets: Tensor, kind: TaskKind, weights: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Compute the mean loss of scores ``(n, K)``: cross-entropy, its binary form, or the square of a difference.

    Args:
        targets: ``(n, K)``; of a binary loss, what is NaN is left out.
        weights: of labels ``(K,)``, with a mean of 1 over the training clips.
        smoothing: share of a target that is spread over all labels, or between yes and no.
    """
    each = losses_of(scores, targets, kind, weights, smoothing)  # (n,)
    return each.mean()


def losses_of(
    scores: Tensor, targets: Tensor, kind: TaskKind, weights: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Compute the loss of each row ``(n,)``; see `loss_of`."""
    if kind == "regression":
        return (scores - targets).square().mean(dim=1)
    if kind == "multiclass":
        smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
        terms = -smoothed * scores.log_softmax(dim=1)
        if weights is None:
            return terms.sum(dim=1)
        return terms.sum(dim=1) * (targets * weights).sum(dim=1)
    known = ~targets.isnan()
    filled = targets.nan_to_num(0.0)
    smoothed = filled * (1 - smoothing) + smoothing / 2
    terms = F.binary_cross_entropy_with_logits(scores, smoothed, reduction="none", pos_weight=weights)
    return (terms * known).sum(dim=1) / known.sum(dim=1).clamp_min(1)

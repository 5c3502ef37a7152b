"""Lay neighbours out in a plane: t-SNE whose repulsion is interpolated on a grid.

t-SNE (van der Maaten and Hinton, 2008) moves points y so that q_ij = w_ij / Z, with w_ij = 1 / (1 + |y_i - y_j|^2) and
Z = sum w_ij, comes near p_ij. Here p_ij is the same for each neighbour (Böhm, Berens and Kobak, "Attraction-repulsion
spectrum in neighbor embeddings", 2022), and the step is n / exaggeration (Belkina et al., 2019). The gradient is

    4 sum_j (exaggeration p_ij - q_ij) w_ij (y_i - y_j).

Its second part has all pairs. It is three sums of the kernel w^2 over charges 1, x and y, which are computed on a grid
by Fourier transforms, with quadratic interpolation to and from it (Linderman et al., "Fast interpolation-based t-SNE",
2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

import axlstm.vector_math

_MOST_PAIRED = 500  # points whose pairs are all computed
_NODES = 3  # of the grid in a cell, along each side
_CELLS = (24, 400, 8)  # along a side, at least, at most, and in steps; one of length 1 is exact enough
_MOMENTUM = (0.5, 0.8)
_LEAST_GAIN = 0.01


class Phase(NamedTuple):
    """So many steps with one exaggeration of the attraction and one momentum."""

    steps: int
    exaggeration: float
    momentum: float = _MOMENTUM[1]


def lay_out(neighbours: Tensor, start: Tensor, phases: list[Phase], progress: Callable[[float], None]) -> Tensor:
    """Move points so that neighbours lie together.

    Args:
        neighbours: of each point ``(n, k)``, their numbers.
        start: places ``(n, 2)``.
        progress: called with the share of the steps that is done; an exception of it ends the work.

    Returns:
        places ``(n, 2)``.
    """
    places = start.clone()
    count, done, total = len(places), 0, sum(phase.steps for phase in phases)
    velocity, gains = torch.zeros_like(places), torch.ones_like(places)
    for phase in phases:
        rate = max(count / phase.exaggeration, 50.0)
        for _ in range(phase.steps):
            gradient = 4 * (phase.exaggeration * attract(neighbours, places) - repel(places))  # (n, 2)
            same = (gradient > 0) == (velocity > 0)  # the last step went up the gradient: too far
            gains = torch.where(same, gains * 0.8, gains + 0.2).clamp_(min=_LEAST_GAIN)
            velocity = phase.momentum * velocity - rate * gains * gradient
            places += velocity
            places -= places.mean(dim=0)
            done += 1
            progress(done / total)
    return places


def attract(neighbours: Tensor, places: Tensor) -> Tensor:
    """Compute sum_j p_ij w_ij (y_i - y_j) ``(n, 2)``; of two points p is 1 / (2 n k) for each that has the other as a
    neighbour.
    """
    count, k = neighbours.shape
    away = places[:, None] - places[neighbours]  # (n, k, 2)
    pulls = away / (1 + (away**2).sum(dim=2, keepdim=True))  # (n, k, 2)
    total = pulls.sum(dim=1)
    total.index_add_(0, neighbours.reshape(-1), -pulls.reshape(-1, 2))
    return total / (2 * count * k)


def repel(places: Tensor) -> Tensor:
    """Compute sum_j q_ij w_ij (y_i - y_j) ``(n, 2)``: of few points pair by pair, else interpolated."""
    return repel_exactly(places) if len(places) <= _MOST_PAIRED else repel_on_grid(places)


def repel_exactly(places: Tensor) -> Tensor:
    """Compute what `repel` does, pair by pair."""
    away = places[:, None] - places  # (n, n, 2)
    kernel = 1 / (1 + (away**2).sum(dim=2))  # (n, n)
    normaliser = (kernel.sum() - len(places)).clamp(min=1e-9)
    return (kernel**2)[..., None].mul(away).sum(dim=1) / normaliser


def repel_on_grid(places: Tensor) -> Tensor:
    """Compute what `repel` does, with sums that are interpolated on a grid."""
    low = places.min(dim=0).values
    span = float((places.max(dim=0).values - low).max()) * (1 + 1e-6) + 1e-9
    cells = min(max(_CELLS[2] * math.ceil(span / _CELLS[2]), _CELLS[0]), _CELLS[1])
    length = span / cells if not _CELLS[0] <= span <= _CELLS[1] else 1.0  # of a cell
    nodes = _NODES * cells
    where, weights = _interpolate((places - low) / length, cells)  # (n, 9) each
    charges = torch.cat([torch.ones(len(places), 1), places], dim=1)  # (n, 3)
    grid = torch.zeros(nodes * nodes, 3)
    for node in range(_NODES**2):
        grid.index_add_(0, where[:, node], weights[:, node, None] * charges)
    sums, total = _convolve(grid.T.reshape(3, nodes, nodes), length / _NODES)  # (3, G, G)
    at = torch.zeros(len(places), 3)
    flat = sums.reshape(3, -1).T.contiguous()  # (G * G, 3)
    for node in range(_NODES**2):
        at += weights[:, node, None] * flat[where[:, node]]
    normaliser = max(total - len(places), 1e-9)  # a point does not repel itself
    return (places * at[:, :1] - at[:, 1:]) / normaliser


def _interpolate(scaled: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Return the nodes around each place ``(n, 9)``, and their weights in a quadratic through them ``(n, 9)``.

    Args:
        scaled: places in cells ``(n, 2)``.
    """
    cell = scaled.floor().clamp(0, cells - 1)
    inside = scaled - cell  # (n, 2), from 0 to 1
    offsets = (torch.arange(_NODES) + 0.5) / _NODES
    each = []
    for own in range(_NODES):
        others = [offset for place, offset in enumerate(offsets.tolist()) if place != own]
        weight = torch.ones_like(inside)
        for offset in others:
            weight = weight * (inside - offset) / (float(offsets[own]) - offset)
        each.append(weight)
    along = torch.stack(each, dim=2)  # (n, 2, 3)
    first = _NODES * cell.long()
    numbers = torch.arange(_NODES)
    where = (first[:, :1, None] + numbers[:, None]) * (_NODES * cells) + first[:, 1:, None] + numbers
    weights = along[:, 0, :, None] * along[:, 1, None, :]  # (n, 3, 3)
    return where.reshape(len(scaled), -1), weights.reshape(len(scaled), -1)


def _convolve(charges: Tensor, step: float) -> tuple[Tensor, float]:
    """Sum the kernel w^2 over charges 1, x, y on a grid ``(3, G, G)``; and the kernel w over all pairs of charges 1."""
    size = 2 * charges.shape[1]  # in a circle of twice the size, no two sums meet
    kernel, squared = _transform_kernels(size, step)  # (2 G, G + 1) each
    found, total = [], 0.0
    for number, charge in enumerate(charges):
        spectrum = torch.fft.rfft2(charge, s=(size, size))
        if number == 0:  # by Parseval's theorem; all columns but the first and the last stand for two
            power = (spectrum.abs() ** 2 * kernel.real).double()
            total = float(2 * power.sum() - power[:, 0].sum() - power[:, -1].sum()) / size**2
        found.append(torch.fft.irfft2(spectrum * squared, s=(size, size))[: size // 2, : size // 2])
    return torch.stack(found), total


@lru_cache(maxsize=1)
def _transform_kernels(size: int, step: float) -> tuple[Tensor, Tensor]:
    """Return the Fourier transforms of w and w^2 on a circle."""
    apart = torch.arange(size)
    apart = torch.minimum(apart, size - apart) * step
    kernel = 1 / (1 + apart[:, None] ** 2 + apart[None] ** 2)  # (2 G, 2 G)
    return torch.fft.rfft2(kernel), torch.fft.rfft2(kernel**2)

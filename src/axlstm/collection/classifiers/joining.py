"""Put heads together to the layers of one classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.classifiers.classifier import Layer
from axlstm.collection.classifiers.heads import Head

_MOST = 1e4  # of a value of the last layer: far below what a classifier's folder may hold


def without_background(head: Head) -> tuple[Layer, ...]:
    """Take the score of the background, the last one, off the others, so that it is 0."""
    *first, last = head.layers
    return (*first, Layer(last.weight[:-1] - last.weight[-1:], last.bias[:-1] - last.bias[-1:]))


def bound_layers(layers: Sequence[Layer], slope: NDArray[np.float64]) -> tuple[tuple[Layer, ...], NDArray[np.float64]]:
    """Divide scores of large weights, and multiply their slopes ``(L,)`` by as much: probabilities stay.

    Discriminant analysis of examples that are all alike has such weights.
    """
    *first, last = layers
    largest = np.maximum(np.abs(last.weight).max(axis=1), np.abs(last.bias))  # (L,)
    scale = np.maximum(largest / _MOST, 1.0)
    return (*first, Layer(last.weight / scale[:, None], last.bias / scale)), slope * scale


def stack_heads(heads: Sequence[Head]) -> tuple[Layer, ...]:
    """Put heads of one score each side by side: of several, each with a layer of its own in front if any has one.

    A head without such a layer has its score pass through as relu(x) - relu(-x).
    """
    if all(len(head.layers) == 1 for head in heads):
        return (_stack([head.layers[0] for head in heads]),)
    first, last = [], []
    for head in heads:
        layer = head.layers[0]
        if len(head.layers) == 1:
            weight, bias = np.concatenate([layer.weight, -layer.weight]), np.concatenate([layer.bias, -layer.bias])
            first.append(Layer(weight, bias))
            last.append(Layer(np.array([[1.0, -1.0]]), np.zeros(1)))
        else:
            first.append(layer)
            last.append(head.layers[1])
    hidden = [len(layer.bias) for layer in first]
    weight = np.zeros((len(heads), sum(hidden)))
    for place, (begin, layer) in enumerate(zip(np.cumsum([0, *hidden[:-1]]), last, strict=True)):
        weight[place, begin : begin + hidden[place]] = layer.weight[0]
    return (_stack(first), Layer(weight, np.concatenate([layer.bias for layer in last])))


def _stack(layers: Sequence[Layer]) -> Layer:
    return Layer(np.concatenate([one.weight for one in layers]), np.concatenate([one.bias for one in layers]))

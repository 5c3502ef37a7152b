"""Train probes one after another with hear-eval-kit's stream of random numbers.

On the CPU with one thread this gives the kit's scores, best epochs and epochs run to the last digit. It
is the slow twin of `axlstm.evaluate.probes.batched`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from axlstm.evaluate.probes.data import Part, ProbeData
from axlstm.evaluate.probes.protocol import ProbeConfig
from axlstm.evaluate.probes.selection import Check, Judge, Progress, probe_loss

_SUMMARY_ROWS = 64  # the kit prints a model summary, whose random input takes numbers from the stream


@dataclass(frozen=True)
class Fit:
    """A trained probe: its best check, its course, and the weights of the best epoch."""

    config: ProbeConfig
    best: Check
    curve: tuple[Check, ...]
    epochs_run: int
    minutes: float
    weights: dict[str, Tensor]  # the state of `build_probe`


def build_probe(config: ProbeConfig, embedding_size: int, classes: int) -> nn.Sequential:
    """Build a probe: hidden layers of Linear, BatchNorm, Dropout and ReLU, then Linear to the classes."""
    layers: list[nn.Module] = []
    width, gain = embedding_size, 1.0
    for _ in range(config.hidden_layers):
        linear = _linear(width, config.hidden_dim, config.initialization, gain)
        layers += [linear, nn.BatchNorm1d(config.hidden_dim), nn.Dropout(config.dropout), nn.ReLU()]
        width, gain = config.hidden_dim, nn.init.calculate_gain("relu")
    layers.append(_linear(width, classes, config.initialization, gain))
    return nn.Sequential(*layers)


def fit_exactly(config: ProbeConfig, data: ProbeData, judge: Judge) -> Fit:
    """Train one probe, drawing from torch's default generator in the kit's order.

    The order is: every layer's default weight, default bias and Xavier weight; the summary's input; an
    epoch's seed and then its dropout; a check's seed. Call inside `exact_stream`.
    """
    began = time.perf_counter()
    classes = data.train.rows.target.shape[1]
    embedding_size = data.train.rows.splits[0].embeddings.shape[1]
    probe = build_probe(config, embedding_size, classes)
    torch.rand(_SUMMARY_ROWS, embedding_size)
    optimiser = torch.optim.Adam(probe.parameters(), lr=config.lr)
    progress = Progress(judge.maximise, config.patience)
    weights: dict[str, Tensor] = {}
    for epoch in range(config.max_epochs):
        _draw_loader_seed()
        probe.train()
        for start, stop in data.train.batches(config.batch_size):
            if stop - start == 1 and config.hidden_layers:
                continue  # no batch statistics of one row; the kit fails here
            optimiser.zero_grad()
            logits = probe(data.train.embeddings(start, stop))  # (B, K)
            probe_loss(logits, data.train.target(start, stop), judge.is_multiclass).backward()
            optimiser.step()
        if (epoch + 1) % config.check_val_every_n_epoch == 0:
            _draw_loader_seed()
            if progress.add(judge.check(epoch, predict(probe, config, data.valid))):
                weights = copy.deepcopy(probe.state_dict())
            if progress.is_over:
                break
    assert progress.best is not None  # ProbeConfig makes sure that there is a check
    minutes = (time.perf_counter() - began) / 60
    return Fit(config, progress.best, tuple(progress.curve), epoch + 1, minutes, weights)


def predict_best(fit: Fit, part: Part) -> Tensor:
    """Compute logits ``(n, K)`` of a fit's best epoch."""
    size = part.rows.splits[0].embeddings.shape[1]
    with torch.device("meta"):  # weights are loaded, not drawn
        probe = build_probe(fit.config, size, part.rows.target.shape[1])
    probe.load_state_dict(fit.weights, assign=True)
    return predict(probe, fit.config, part)


def predict(probe: nn.Module, config: ProbeConfig, part: Part) -> Tensor:
    """Compute logits of a probe in evaluation mode: ``(n, K)``."""
    probe.eval()
    with torch.no_grad():
        parts = [probe(part.embeddings(start, stop)) for start, stop in part.batches(config.batch_size)]
    return torch.cat(parts)


@contextmanager
def exact_stream(seed: int) -> Iterator[None]:
    """Use one thread, and torch's default generator at `seed`; both are restored afterwards."""
    with torch_threads(1), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs, for good
        yield


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads on the CPU; the number of before is restored afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _linear(inputs: int, outputs: int, initialization: str, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    getattr(nn.init, initialization)(layer.weight, gain=gain)
    return layer


def _draw_loader_seed() -> None:
    torch.empty((), dtype=torch.int64).random_()

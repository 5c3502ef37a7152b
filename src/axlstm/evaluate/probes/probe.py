"""Probing one task's embeddings under a protocol: train, select, test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from axlstm.errors import ConfigError
from axlstm.evaluate.embedding.packed import EmbeddedTask
from axlstm.evaluate.probes.batched import Compute, Member, fit_batched
from axlstm.evaluate.probes.data import ProbeData
from axlstm.evaluate.probes.exact import Fit, exact_stream, fit_exactly, predict_best
from axlstm.evaluate.probes.knn import choose_neighbours, vote
from axlstm.evaluate.probes.outcome import Outcome, SplitOutcome, judge_test
from axlstm.evaluate.probes.protocol import Protocol
from axlstm.evaluate.probes.selection import Judge
from axlstm.evaluate.tasks.metadata import DataSplit

logger = logging.getLogger(__name__)


def probe_embeddings(
    task: EmbeddedTask,
    seeds: Sequence[int],
    protocol: Protocol,
    exact: bool = False,
    compute: Compute | None = None,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Outcome]:
    """Evaluate a task's embeddings once a seed.

    The grid is tried on the first data split; the best point by validation (the first of equal ones) is
    kept there and trained anew on every further one (hear-eval-kit's selection).

    Args:
        task: from `read_embeddings`.
        seeds: one outcome each, in order. Nearest neighbours have no random numbers and yield one outcome.
        protocol: from `find_protocol`.
        exact: train one probe after another with the kit's random numbers, on the CPU.
        compute: device and precision of the batched default.
        advance: called with the number of trainings that have ended.

    Raises:
        ConfigError: no seeds, or `exact` with a protocol the kit does not have.
    """
    advance = advance or _ignore
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"expected distinct seeds, at least one, not {list(seeds)}")
    if protocol.neighbours:
        if exact:
            raise ConfigError("nearest neighbours are not trained: leave out exact")
        yield _probe_neighbours(task, seeds[0], protocol)
    elif exact:
        for seed in seeds:
            yield _probe_exactly(task, seed, protocol, advance)
    else:
        yield from _probe_batched(task, seeds, protocol, compute or Compute(), advance)


def count_trainings(task: EmbeddedTask, seeds: Sequence[int], protocol: Protocol) -> int:
    """Count the probes that `probe_embeddings` trains."""
    if protocol.neighbours:
        return 0
    grid = sum(len(protocol.points(task.metadata, seed)) for seed in seeds)
    return grid + len(seeds) * (len(task.metadata.data_splits()) - 1)


def _prepare(task: EmbeddedTask, split: DataSplit, protocol: Protocol) -> tuple[ProbeData, Judge]:
    data = ProbeData.of(task, split, protocol.standardise)
    return data, Judge(task, data.valid.rows)


def _probe_exactly(task: EmbeddedTask, seed: int, protocol: Protocol, advance: Callable[[int], None]) -> Outcome:
    splits = task.metadata.data_splits()
    chosen: Fit | None = None
    outcomes: list[SplitOutcome] = []
    epochs: list[int] = []
    with exact_stream(seed):
        for split in splits:
            data, judge = _prepare(task, split, protocol)
            best: Fit | None = None
            for config in protocol.points(task.metadata, seed) if chosen is None else [chosen.config]:
                fit = fit_exactly(config, data, judge)
                epochs.append(fit.epochs_run)
                best = _better(best, fit, judge.maximise)
                advance(1)
            assert best is not None  # a grid has at least one point
            chosen = chosen or best
            outcomes.append(_test(task, data, best))
    assert chosen is not None
    return Outcome(
        seed, tuple(outcomes), chosen.config.to_hparams(), chosen.best.postprocessing, judge.maximise, tuple(epochs)
    )


def _probe_batched(
    task: EmbeddedTask,
    seeds: Sequence[int],
    protocol: Protocol,
    compute: Compute,
    advance: Callable[[int], None],
) -> Iterator[Outcome]:
    outcomes: dict[int, list[SplitOutcome]] = {seed: [] for seed in seeds}
    epochs: dict[int, list[int]] = {seed: [] for seed in seeds}
    chosen: dict[int, Fit] = {}
    for number, split in enumerate(task.metadata.data_splits()):
        data, judge = _prepare(task, split, protocol)
        tried = [
            (seed, point, config)
            for seed in seeds
            for point, config in enumerate([chosen[seed].config] if number else protocol.points(task.metadata, seed))
        ]
        members = [Member(config, _member_seed(seed, number, point)) for seed, point, config in tried]
        # Only the best probe of a seed keeps its weights; of equal ones, the first grid point is the best.
        best: dict[int, tuple[int, Fit]] = {}
        run = [0] * len(members)
        for position, fit in fit_batched(members, data, judge, compute):
            seed = tried[position][0]
            run[position] = fit.epochs_run
            pair = sorted([*([best[seed]] if seed in best else []), (position, fit)], key=lambda item: item[0])
            winner = _better(pair[0][1], pair[-1][1], judge.maximise)
            best[seed] = next(item for item in pair if item[1] is winner)
            advance(1)
        for position, (seed, _, _) in enumerate(tried):
            epochs[seed].append(run[position])
        for seed in seeds:
            fit = best[seed][1]
            outcomes[seed].append(_test(task, data, fit))
            chosen.setdefault(seed, fit)
    for seed in seeds:
        fit = chosen[seed]
        yield Outcome(
            seed,
            tuple(outcomes[seed]),
            fit.config.to_hparams(),
            fit.best.postprocessing,
            judge.maximise,
            tuple(epochs[seed]),
        )


def _probe_neighbours(task: EmbeddedTask, seed: int, protocol: Protocol) -> Outcome:
    outcomes = []
    candidates = protocol.neighbours
    first = None
    for split in task.metadata.data_splits():
        data, judge = _prepare(task, split, protocol)
        k, check, minutes = choose_neighbours(candidates, data, judge)
        candidates = (k,)
        first = first or check
        logits = vote([k], data.train, data.test, judge.is_multiclass)[0]
        outcomes.append(judge_test(task, data.name, data.test, logits, check, minutes))
    assert first is not None  # a task has at least one data split
    return Outcome(seed, tuple(outcomes), {"neighbours": k}, first.postprocessing, judge.maximise, ())


def _ignore(trained: int) -> None:
    del trained


def _better(best: Fit | None, fit: Fit, maximise: bool) -> Fit:
    if best is None:
        return fit
    is_better = fit.best.value > best.best.value if maximise else fit.best.value < best.best.value
    return fit if is_better else best


def _test(task: EmbeddedTask, data: ProbeData, fit: Fit) -> SplitOutcome:
    return judge_test(task, data.name, data.test, predict_best(fit, data.test), fit.best, fit.minutes)


def _member_seed(seed: int, split: int, point: int) -> int:
    """Return the seed itself for the first training, which then starts from the weights of the exact twin."""
    if split == point == 0:
        return seed
    return int(np.random.SeedSequence([seed, split, point]).generate_state(1, np.uint64)[0] >> 1)

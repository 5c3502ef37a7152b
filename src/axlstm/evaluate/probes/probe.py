"""Probe one task's embeddings under a protocol: train, select, test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from axlstm.errors import ConfigError
from axlstm.evaluate.embedding.packed import EmbeddedTask
from axlstm.evaluate.probes.batched import Compute, Member, fit_batched
from axlstm.evaluate.probes.data import ProbeData
from axlstm.evaluate.probes.exact import Fit, exact_stream, fit_exactly, predict_best
from axlstm.evaluate.probes.outcome import Outcome, SplitOutcome, judge_test
from axlstm.evaluate.probes.protocol import ProbeConfig, Protocol
from axlstm.evaluate.probes.selection import Judge
from axlstm.evaluate.probes.solved import SOLVERS, choose_candidate
from axlstm.evaluate.tasks.metadata import DataSplit


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
        seeds: one outcome each, in order. Protocols without random numbers yield one outcome.
        exact: train one probe after another with the kit's random numbers, on the CPU.
        compute: of the batched default.
        advance: called with the number of trainings that have ended.

    Raises:
        ConfigError: no seeds, or `exact` with a protocol the kit does not have.
    """
    advance = advance or (lambda _: None)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"expected distinct seeds, at least one, not {list(seeds)}")
    if protocol.solved:
        if exact:
            raise ConfigError(f"{protocol.name!r} has no random numbers, and the kit does not have it: leave out exact")
        yield _probe_solved(task, seeds[0], protocol)
    elif exact:
        for seed in seeds:
            yield _probe_exactly(task, seed, protocol, advance)
    else:
        yield from _probe_batched(task, seeds, protocol, compute or Compute(), advance)


def count_trainings(task: EmbeddedTask, seeds: Sequence[int], protocol: Protocol) -> int:
    """Count the probes that `probe_embeddings` trains."""
    if protocol.solved:
        return 0
    grid = sum(len(_points(task, seed, protocol)) for seed in seeds)
    return grid + len(seeds) * (len(task.metadata.data_splits()) - 1)


def _points(task: EmbeddedTask, seed: int, protocol: Protocol) -> list[ProbeConfig]:
    """List the grid points of a task, some of which its metadata may name."""
    try:
        return protocol.points(task.metadata, seed)
    except ConfigError as error:
        raise ConfigError(f"{task.path / 'task_metadata.json'}: {error}") from error


def _prepare(task: EmbeddedTask, split: DataSplit, protocol: Protocol) -> tuple[ProbeData, Judge]:
    data = ProbeData.of(task, split, protocol.standardise)
    return data, Judge(task, data.valid.rows)


def _probe_exactly(task: EmbeddedTask, seed: int, protocol: Protocol, advance: Callable[[int], None]) -> Outcome:
    chosen: Fit | None = None
    outcomes: list[SplitOutcome] = []
    epochs: list[int] = []
    with exact_stream(seed):
        for split in task.metadata.data_splits():
            data, judge = _prepare(task, split, protocol)
            best: tuple[int, Fit] | None = None
            for position, config in enumerate([chosen.config] if chosen else _points(task, seed, protocol)):
                fit = fit_exactly(config, data, judge)
                epochs.append(fit.epochs_run)
                best = _better(best, (position, fit), judge.maximise)
                advance(1)
            assert best is not None  # a grid has at least one point
            chosen = chosen or best[1]
            outcomes.append(_test(task, data, best[1]))
    assert chosen is not None
    return _outcome(seed, outcomes, chosen, judge, epochs)


def _probe_batched(
    task: EmbeddedTask, seeds: Sequence[int], protocol: Protocol, compute: Compute, advance: Callable[[int], None]
) -> Iterator[Outcome]:
    outcomes: dict[int, list[SplitOutcome]] = {seed: [] for seed in seeds}
    epochs: dict[int, list[int]] = {seed: [] for seed in seeds}
    chosen: dict[int, Fit] = {}
    for number, split in enumerate(task.metadata.data_splits()):
        data, judge = _prepare(task, split, protocol)
        tried = [
            (seed, point, config)
            for seed in seeds
            for point, config in enumerate([chosen[seed].config] if number else _points(task, seed, protocol))
        ]
        members = [Member(config, _member_seed(seed, number, point)) for seed, point, config in tried]
        best: dict[int, tuple[int, Fit]] = {}  # only the best probe of a seed keeps its weights
        run = [0] * len(members)
        for position, fit in fit_batched(members, data, judge, compute):
            seed = tried[position][0]
            run[position] = fit.epochs_run
            best[seed] = _better(best.get(seed), (position, fit), judge.maximise)
            advance(1)
        for (seed, _, _), epochs_run in zip(tried, run, strict=True):
            epochs[seed].append(epochs_run)
        for seed, (_, fit) in best.items():
            outcomes[seed].append(_test(task, data, fit))
            chosen.setdefault(seed, fit)
    for seed in seeds:
        yield _outcome(seed, outcomes[seed], chosen[seed], judge, epochs[seed])


def _probe_solved(task: EmbeddedTask, seed: int, protocol: Protocol) -> Outcome:
    candidates, outcomes, checks = protocol.candidates, [], []
    for split in task.metadata.data_splits():
        data, judge = _prepare(task, split, protocol)
        chosen, check, minutes = choose_candidate(protocol.solved, candidates, data, judge)
        candidates = (chosen,)
        checks.append(check)
        logits = SOLVERS[protocol.solved](candidates, data.train, data.test, judge.is_multiclass)[0]
        outcomes.append(judge_test(task, data.name, data.test, logits, check, minutes))
    return Outcome(seed, tuple(outcomes), {protocol.solved: chosen}, checks[0].postprocessing, judge.maximise, ())


def _outcome(seed: int, splits: list[SplitOutcome], chosen: Fit, judge: Judge, epochs: list[int]) -> Outcome:
    hparams = chosen.config.to_hparams()
    return Outcome(seed, tuple(splits), hparams, chosen.best.postprocessing, judge.maximise, tuple(epochs))


def _better(best: tuple[int, Fit] | None, new: tuple[int, Fit], maximise: bool) -> tuple[int, Fit]:
    """Return the better of two fits with their positions in the grid; of equal ones, the earlier."""
    first, second = sorted((best or new, new), key=lambda item: item[0])
    a, b = first[1].best.value, second[1].best.value
    return second if (b > a if maximise else b < a) else first


def _test(task: EmbeddedTask, data: ProbeData, fit: Fit) -> SplitOutcome:
    return judge_test(task, data.name, data.test, predict_best(fit, data.test), fit.best, fit.minutes)


def _member_seed(seed: int, split: int, point: int) -> int:
    """Return the seed itself for the first training, which then starts from the weights of the exact twin."""
    if split == point == 0:
        return seed
    return int(np.random.SeedSequence([seed, split, point]).generate_state(1, np.uint64)[0] >> 1)

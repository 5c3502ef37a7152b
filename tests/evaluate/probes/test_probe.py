"""Probing a task: batched and exact agree, selection follows the kit, hard cases have a defined end."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.probes.batched import Compute, Member, fit_batched
from axlstm.evaluate.probes.data import ProbeData, measure_offset
from axlstm.evaluate.probes.outcome import degenerate_tests
from axlstm.evaluate.probes.probe import count_trainings, probe_embeddings
from axlstm.evaluate.probes.protocol import ProbeConfig, Protocol, find_protocol
from axlstm.evaluate.probes.selection import Check, Judge, Progress
from tests.evaluate.made_task import make_event_task, make_scene_task
from tests.evaluate.reference import read_kit_result, unpack_task

SMALL = Protocol(
    "small", {"hidden_dim": (32,), "dropout": (0.1, 0.25), "lr": (3e-3,), "max_epochs": (60,), "patience": (5,)}
)
SIZES = {"train": 90, "valid": 60, "test": 60}


def scores(folder: Path, seeds: int, exact: bool = False, protocol: Protocol = SMALL) -> np.ndarray:
    outcomes = probe_embeddings(read_embeddings(folder), list(range(seeds)), protocol, exact=exact)
    return np.array([outcome.splits[0].values["test_score"] for outcome in outcomes])


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_batched_and_exact_have_the_same_mean(tmp_path: Path, multilabel: bool, layers: int) -> None:
    folder = make_scene_task(tmp_path / "t", SIZES, classes=5, multilabel=multilabel, noise=1.5)
    protocol = replace(SMALL, grid={**SMALL.grid, "hidden_layers": (layers,)})
    plain, batched = scores(folder, 8, exact=True, protocol=protocol), scores(folder, 8, protocol=protocol)
    error = math.sqrt((plain.var(ddof=1) + batched.var(ddof=1)) / 8)
    assert abs(plain.mean() - batched.mean()) < 3 * error + 1e-9


@pytest.mark.slow
def test_batched_mean_lies_in_the_kits_interval(tmp_path: Path) -> None:
    task = read_embeddings(unpack_task("kfold2000", tmp_path))
    found = [
        outcome.to_kit("")["aggregated_scores"]["test_score_mean"]
        for outcome in probe_embeddings(task, list(range(10)), find_protocol("published"))
    ]
    kit = [read_kit_result("published_grid", "kfold2000", s)["aggregated_scores"]["test_score_mean"] for s in range(3)]
    half_width = 4.303 * np.std(kit, ddof=1) / math.sqrt(3)  # 95 % Student t, 2 degrees of freedom
    assert abs(np.mean(found) - np.mean(kit)) < half_width


def test_a_members_result_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", SIZES, classes=5, noise=1.5))
    data = ProbeData.of(task, task.metadata.data_splits()[0], standardise=False)
    judge = Judge(task, data.valid.rows)
    config = ProbeConfig(hidden_dim=32, lr=3e-3, max_epochs=60, patience=5)
    members = [Member(replace(config, dropout=p, lr=lr), seed) for seed, p, lr in ((1, 0.1, 3e-3), (2, 0.5, 1e-2))]
    members.append(Member(replace(config, hidden_layers=2), 3))
    found = {}
    for at_once in (1, 3):
        compute = Compute(precision="float32", members_at_once=at_once)
        found[at_once] = dict(fit_batched(members, data, judge, compute))
    assert set(found[1]) == {0, 1, 2}
    for i in found[1]:
        assert found[1][i].config == members[i].config
        assert found[1][i].epochs_run == found[3][i].epochs_run
        assert found[1][i].best == found[3][i].best


def test_bfloat16_and_float32_agree(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", SIZES, classes=5, noise=1.5))
    means = [
        np.mean([o.splits[0].values["test_score"] for o in probe_embeddings(task, range(6), SMALL, compute=compute)])
        for compute in (Compute(precision="float32"), Compute(precision="bfloat16"))
    ]
    assert abs(means[0] - means[1]) < 0.05


def test_kfold_tests_every_fold_with_the_first_folds_choice(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", {f"fold{i:02d}": 24 for i in range(4)}))
    trained = 0

    def advance(n: int) -> None:
        nonlocal trained
        trained += n

    outcomes = list(probe_embeddings(task, [3, 4], SMALL, advance=advance))
    assert trained == count_trainings(task, [3, 4], SMALL) == 2 * (2 + 3)
    assert [outcome.seed for outcome in outcomes] == [3, 4]
    for outcome in outcomes:
        assert [split.name for split in outcome.splits] == ["fold00", "fold01", "fold02", "fold03"]
        assert len(outcome.epochs_run) == 5
        content = outcome.to_kit("x")
        tests = [content[f"fold{i:02d}"]["test_score"] for i in range(4)]
        assert content["aggregated_scores"]["test_score_mean"] == pytest.approx(np.mean(tests))
        assert content["aggregated_scores"]["test_score_std"] == pytest.approx(np.std(tests, ddof=1))
        assert np.sum(outcome.splits[0].confusion) == 24


@pytest.mark.parametrize("exact", [True, False])
def test_event_task(tmp_path: Path, exact: bool) -> None:
    task = read_embeddings(make_event_task(tmp_path / "t", {"train": 12, "valid": 6, "test": 6}))
    protocol = replace(SMALL, grid={**SMALL.grid, "max_epochs": (30,)})
    (outcome,) = probe_embeddings(task, [0], protocol, exact=exact)
    values = outcome.splits[0].values
    assert values["test_score"] == values["test_event_onset_200ms_fms_f_measure"] > 0.5
    assert values["test_segment_1s_er"] < 0.8
    assert outcome.to_kit("")["postprocessing"][0] == ("median_filter_ms", 250)


def test_nothing_predicted_stops_at_the_first_check(tmp_path: Path) -> None:
    task = read_embeddings(make_event_task(tmp_path / "t", {"train": 6, "valid": 3, "test": 3}))
    protocol = replace(SMALL, grid={**SMALL.grid, "lr": (1e-9,), "hidden_layers": (0,), "hidden_dim": (1,)})
    judge = Judge(task, task.rows(("valid",)))
    silent = torch.full((1, len(task.rows(("valid",))), 2), -9.0)
    (check,) = judge.check_members(2, silent)
    progress = Progress(judge.maximise, patience=20)
    progress.add(check)
    assert progress.is_over
    assert progress.best == Check(2, -math.inf, check.postprocessing)
    assert count_trainings(task, [0], protocol) == 2


def test_selection_by_loss(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", SIZES, use_scoring_for_early_stopping=False)
    (outcome,) = probe_embeddings(read_embeddings(folder), [0], SMALL)
    assert outcome.to_kit("")["score_mode"] == "min"
    assert outcome.splits[0].values["validation_score"] < math.log(3)


def test_progress_keeps_the_first_of_equal_checks() -> None:
    progress = Progress(maximise=True, patience=2)
    assert [progress.add(Check(e, v)) for e, v in ((2, 0.5), (5, 0.5), (8, 0.6), (11, 0.6))] == [
        True,
        False,
        True,
        False,
    ]
    assert not progress.is_over
    progress.add(Check(14, 0.1))
    assert progress.is_over
    assert progress.best == Check(8, 0.6)


def test_a_large_common_offset_costs_no_precision(tmp_path: Path) -> None:
    # What such an offset does to the kit's probe is kept; half the precision must not add to it.
    task = read_embeddings(make_scene_task(tmp_path / "t", SIZES, size=16, offset=20.0))
    assert measure_offset(ProbeData.of(task, task.metadata.data_splits()[0], False).train).mean() > 15
    plain, half = (
        np.mean([o.splits[0].values["test_score"] for o in probe_embeddings(task, range(6), SMALL, compute=compute)])
        for compute in (Compute(precision="float32"), Compute(precision="bfloat16"))
    )
    assert abs(plain - half) < 0.05
    assert scores(task.path, 3, protocol=replace(SMALL, standardise=True)).mean() > 0.8


def test_constant_embedding_values_can_be_standardised(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", SIZES)
    for split, n in SIZES.items():
        path = folder / f"{split}.embeddings.npy"
        values = np.fromfile(path, dtype=np.float32).reshape(n, 8)
        values[:, 2] = 7.0
        values.tofile(path)
    task = read_embeddings(folder)
    data = ProbeData.of(task, task.metadata.data_splits()[0], standardise=True)
    values = data.train.embeddings().numpy()
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.delete(values.std(axis=0), 2), 1, atol=1e-5)


def test_embeddings_too_large_to_keep_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_scene_task(tmp_path / "t", SIZES)
    kept = scores(folder, 2)
    monkeypatch.setattr("axlstm.evaluate.probes.batched._CACHED_BYTES", 0)
    np.testing.assert_array_equal(scores(folder, 2), kept)


@pytest.mark.parametrize("exact", [True, False])
def test_a_last_batch_of_one_clip(tmp_path: Path, exact: bool) -> None:
    folder = make_scene_task(tmp_path / "t", {**SIZES, "train": 33})
    protocol = replace(SMALL, grid={**SMALL.grid, "batch_size": (16,)})
    assert scores(folder, 1, exact, protocol)[0] > 0.5


def test_too_few_training_clips_are_told(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", {"train": 1, "valid": 3, "test": 3})
    with pytest.raises(ConfigError, match="at least 2 training clips"):
        scores(folder, 1)


def test_a_class_absent_from_a_fold(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "t", {**SIZES, "test": 2})
    task = read_embeddings(folder)
    (outcome,) = probe_embeddings(task, [0], SMALL)
    (told,) = degenerate_tests(task)
    assert told.startswith("t, test split test: no clip of class c")
    assert math.isnan(outcome.splits[0].values["test_d_prime"])
    assert 0 <= outcome.splits[0].values["test_mAP"] <= 2 / 3 + 1e-6


SOLVED = {"knn": "neighbours", "logreg": "penalty", "lda": "shrinkage"}


@pytest.mark.parametrize("name", SOLVED)
def test_probes_with_one_solution(tmp_path: Path, name: str) -> None:
    folder = make_scene_task(tmp_path / "t", SIZES, noise=0.3)
    (outcome,) = probe_embeddings(read_embeddings(folder), [0, 1, 2], find_protocol(name))
    assert outcome.splits[0].values["test_score"] > 0.95
    assert outcome.hparams[SOLVED[name]] in find_protocol(name).candidates
    with pytest.raises(ConfigError, match="has no random numbers"):
        next(probe_embeddings(read_embeddings(folder), [0], find_protocol(name), exact=True))


@pytest.mark.parametrize("name", SOLVED)
def test_probes_with_one_solution_of_events_and_folds(tmp_path: Path, name: str) -> None:
    task = read_embeddings(make_event_task(tmp_path / "e", {"train": 12, "valid": 6, "test": 6}))
    (outcome,) = probe_embeddings(task, [0], find_protocol(name))
    assert outcome.splits[0].values["test_score"] > 0.5
    folds = read_embeddings(make_scene_task(tmp_path / "k", {f"fold{i:02d}": 5 for i in range(3)}))
    (outcome,) = probe_embeddings(folds, [0], find_protocol(name))
    assert len(outcome.splits) == 3


def test_seeds_and_precision_are_checked(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", SIZES))
    for seeds in ([], [1, 1]):
        with pytest.raises(ConfigError, match="distinct seeds"):
            next(probe_embeddings(task, seeds, SMALL))
    with pytest.raises(ConfigError, match="precision='fp8': expected one of auto, float32, bfloat16"):
        Compute(precision="fp8")

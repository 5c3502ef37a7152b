"""The study: its runs share one budget, its intervals count both sources of chance, its weights load."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import axlstm
from axlstm.data.shards import open_shards
from axlstm.errors import ConfigError, DataError, TrainingError
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.reporting.statistics import Scores
from axlstm.model.config import ModelConfig
from recipes.open_audio.study.evaluation import load_system
from recipes.open_audio.study.runs import MORE_UPDATES, Budget, Run, System, deviation_variants, systems, training_runs
from recipes.open_audio.study.ship import best_run, ship
from recipes.open_audio.study.tables import Group, compare_groups, groups, study_markdown
from recipes.open_audio.study.training import RUNS, claim, read_budget, share_of, train_all, train_one
from recipes.open_audio.tests.made import make_shards

SMALL = ModelConfig(depth=2, width=16, heads=2, patch_frames=20)
BUDGET = Budget(crops=16, batch=4, precision="float32", seeds=2)


def result(model: str, task: str, seed: int, score: float) -> Result:
    return Result(model, task, seed, score, "top1_acc", True, {}, {"parameters": 1_000_000})


def results_of(means: dict[str, float], spread: float = 0.01, seeds: int = 5) -> list[Result]:
    rng = np.random.default_rng(0)
    return [
        result(model, task, seed, mean + shift + spread * rng.standard_normal())
        for task, shift in (("a", 0.0), ("b", 0.1), ("c", -0.1))
        for model, mean in means.items()
        for seed in range(seeds)
    ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a model that trains in a second."""
    config = Run.config

    def with_small_model(self: Run, budget: Budget, threads: int | None) -> object:
        return replace(config(self, budget, threads), model=SMALL)

    monkeypatch.setattr(Run, "config", with_small_model)


@pytest.mark.parametrize("suffix", ["seed1", "masked-seed1", "positions-seed1"])
def test_a_pair_differs_in_the_family_only(suffix: str) -> None:
    runs = {run.name: run.config(BUDGET, 1) for run in training_runs(BUDGET)}
    ours, twin = (runs[f"{family}-tiny-{suffix}"] for family in ("axlstm", "ssast"))
    assert replace(ours, model=twin.model) == twin
    assert (ours.model.family, twin.model.family) == ("axlstm", "ssast")


def test_the_masked_pair_differs_in_the_loss_only() -> None:
    runs = {run.name: run.config(BUDGET, 1) for run in training_runs(BUDGET)}
    published, masked = runs["axlstm-tiny-seed1"], runs["axlstm-tiny-masked-seed1"]
    assert (published.objective.loss, masked.objective.loss) == ("all", "masked")
    assert replace(masked, objective=published.objective) == published


def test_positions_differ_from_the_masked_pair_in_the_positions_only() -> None:
    runs = {run.name: run.config(BUDGET, 1) for run in training_runs(BUDGET)}
    masked, positions = runs["ssast-tiny-masked-seed1"], runs["ssast-tiny-positions-seed1"]
    assert positions.model.masked_positions
    assert replace(positions, model=masked.model) == masked


@pytest.mark.parametrize("name", ["axlstm-tiny-masked", "ssast-tiny-positions"])
def test_the_longer_runs_go_on_for_longer(name: str) -> None:
    runs = {run.name: run.config(BUDGET, 1) for run in training_runs(BUDGET)}
    once, longer = runs[f"{name}-seed0"], runs[f"{name}-longer"]
    assert longer.schedule.steps == 3 * once.schedule.steps
    assert longer == replace(
        once, schedule=longer.schedule, validation=longer.validation, checkpoints=longer.checkpoints, log=longer.log
    )


def test_deviations_are_tried_on_runs_that_the_study_has() -> None:
    assert set(deviation_variants(BUDGET).values()) <= {run.name for run in training_runs(BUDGET)}


def test_fourfold_updates_see_the_same_crops() -> None:
    runs = {run.name: run.config(BUDGET, 1) for run in training_runs(BUDGET)}
    once, more = runs["ssast-tiny-seed0"], runs[MORE_UPDATES]
    assert more.schedule.steps == 4 * once.schedule.steps
    assert more.schedule.steps * more.optimiser.global_batch == BUDGET.crops


@pytest.mark.parametrize("family", ["axlstm", "ssast"])
def test_ablations_differ_from_their_reference_in_one_thing_each(family: str) -> None:
    base, *others = (run for run in training_runs(BUDGET) if run.family == family and run.budget_share < 1)
    assert base.config(BUDGET, 1).schedule.steps == round(BUDGET.ablation_share * BUDGET.crops) // BUDGET.batch
    changed = {run.name: {key for key in vars(run) if getattr(run, key) != getattr(base, key)} for run in others}
    one_each = {
        f"{family}-loss-masked": {"objective"},
        f"{family}-mask-0.8": {"objective"},
        f"{family}-hours-half": {"share"},
        f"{family}-hours-eighth": {"share"},
        f"{family}-rate-third": {"rate_share"},
        f"{family}-loss-all-positions": {"masked_positions"},
        f"{family}-size-small": {"size"},
    }
    assert changed
    assert changed == {name: {"name", *one_each[name]} for name in changed}


def test_a_share_of_the_shards_keeps_what_is_held_out(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    part = share_of(shards, 0.5)
    assert 0 < len(open_shards(part)) <= len(open_shards(shards))
    assert open_shards(part, "valid").fingerprint == open_shards(shards, "valid").fingerprint
    assert share_of(shards, 1) == shards


def test_a_run_is_recorded_and_found_as_a_system(tmp_path: Path, small: None) -> None:
    del small
    shards = make_shards(tmp_path)
    claim(tmp_path, BUDGET)
    assert read_budget(tmp_path) == BUDGET
    summary = train_one(tmp_path, shards, "axlstm-tiny-seed0", BUDGET, 1)
    assert summary["finished"]
    record = json.loads((tmp_path / RUNS / "axlstm-tiny-seed0" / "record.json").read_text(encoding="utf-8"))
    assert record["hours_of_audio"] > 0
    assert record["machine"]["torch"] == torch.__version__
    names = [system.name for system in systems(tmp_path / RUNS, BUDGET, None)]
    assert names[0] == "logmel"
    assert {"axlstm-tiny-untrained", "axlstm-tiny-seed0", "axlstm-mean-of-layers"} <= set(names)
    assert "ssast-tiny-seed0" not in names


def test_another_budget_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    claim(tmp_path, BUDGET)
    with pytest.raises(DataError, match="crops 16, not 32"):
        train_all(tmp_path, shards, replace(BUDGET, crops=32), jobs=1, only=(), report=print)
    with pytest.raises(ConfigError, match="no run is called nothing; the runs are axlstm-tiny-seed0"):
        train_all(tmp_path, shards, BUDGET, jobs=1, only=("nothing",), report=print)


def test_paths_are_relative_to_the_folder_that_train_is_called_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shards(tmp_path)
    monkeypatch.chdir(tmp_path)

    def remove_shards(_: str) -> None:
        shutil.rmtree("shards", ignore_errors=True)  # the run finds its budget, and ends early

    with pytest.raises(TrainingError, match="failed: axlstm-tiny-seed0"):
        train_all(Path(), Path("shards"), BUDGET, jobs=1, only=("axlstm-tiny-seed0",), report=remove_shards)
    log = (tmp_path / RUNS / "axlstm-tiny-seed0" / "error.log").read_text(encoding="utf-8")
    assert "error: shards: no such folder" in log


def test_terminated_it_ends_its_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(sleeper))
        return started[-1]

    def interrupt(_: str) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("recipes.open_audio.study.training._start", start)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        train_all(tmp_path, make_shards(tmp_path), BUDGET, jobs=1, only=(), report=interrupt)
    assert started[0].wait(10) == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_difference_of_groups_counts_the_chance_of_pretraining() -> None:
    means = {"axlstm-tiny-seed0": 0.5, "axlstm-tiny-seed1": 0.7, "ssast-tiny-seed0": 0.55, "ssast-tiny-seed1": 0.57}
    scores = Scores(results_of({**means, "logmel": 0.3}))
    ours, twin = groups(scores, BUDGET)[:2]
    assert ours.members == ("axlstm-tiny-seed0", "axlstm-tiny-seed1")
    pooled = compare_groups(scores, ours, twin)
    one_seed = compare_groups(scores, Group("one", ours.members[:1]), Group("other", twin.members[:1]))
    assert pooled.low < 0 < pooled.mean < pooled.high  # seeds disagree: nothing is shown
    assert pooled.half_width > 2 * one_seed.half_width
    assert compare_groups(scores, ours, Group("logmel", ("logmel",))).low > 0


def test_tables_name_what_they_compare(tmp_path: Path) -> None:
    results = results_of({"axlstm-tiny-seed0": 0.6, "axlstm-tiny-untrained": 0.4, "logmel": 0.5})
    text = study_markdown(results, tmp_path, BUDGET, {"logmel": 3000.0})
    assert "| axlstm-tiny | axlstm-tiny-untrained | +100.0" in text
    assert "| 3 of 3 | yes |" in text


def test_mean_of_layers_is_the_mean_of_their_states(tmp_path: Path) -> None:
    axlstm.create_model("axlstm-tiny", depth=2, width=16, heads=2).save_pretrained(tmp_path / "m")
    encoder = load_system(System(name="x", source=str(tmp_path / "m"), layers="mean"))
    model = encoder.model
    wave = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    frames, _ = model(wave)
    each = [axlstm.load_model(str(tmp_path / "m"), layers=layer)(wave)[0] for layer in (1, 2)]
    torch.testing.assert_close(frames, torch.stack(each).mean(dim=0), rtol=0, atol=1e-5)
    assert frames.shape[-1] == model.scene_embedding_size
    torch.testing.assert_close(encoder.scenes(wave), frames.mean(dim=1))


def test_deviations_stand_beside_the_mean(tmp_path: Path) -> None:
    axlstm.create_model("axlstm-tiny", depth=2, width=16, heads=2).save_pretrained(tmp_path / "m")
    plain, both = (
        load_system(System(name="x", source=str(tmp_path / "m"), pooling=pooling))
        for pooling in (None, "mean+deviation")
    )
    wave = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    assert both.scenes(wave).shape[1] == 2 * plain.scenes(wave).shape[1]
    assert both.describe() != plain.describe()


def test_an_untrained_system_is_untrained_whatever_is_shipped() -> None:
    encoder = load_system(System(name="x", source="axlstm-tiny", untrained=True))
    assert encoder.model.trained is False


def test_shipped_weights_are_those_that_were_evaluated(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del small
    shards = make_shards(tmp_path)
    train_one(tmp_path, shards, "axlstm-tiny-seed0", BUDGET, 1)
    monkeypatch.setattr("recipes.open_audio.study.ship._data_table", str)
    results = results_of({"axlstm-tiny-seed0": 0.6, "logmel": 0.5})
    assert best_run(results, "axlstm", BUDGET) == "axlstm-tiny-seed0"
    better = results_of({"axlstm-tiny-seed0": 0.6, "axlstm-tiny-masked-seed1": 0.7, "ssast-tiny-seed0": 0.9})
    assert best_run(better, "axlstm", BUDGET) == "axlstm-tiny-masked-seed1"
    [system] = [s for s in systems(tmp_path / RUNS, BUDGET, None) if s.name == "axlstm-tiny-seed0"]
    out = tmp_path / "weights" / "axlstm-tiny"
    size = ship(tmp_path, "axlstm-tiny-seed0", results, BUDGET, out, "linear")
    assert size < 1
    shipped, run = axlstm.load_model(out), load_system(system).model
    wave = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    np.testing.assert_allclose(shipped.embed(wave, 16_000).scene, run.embed(wave, 16_000).scene, atol=0)
    assert {value.dtype for value in load_file(out / "model.safetensors").values()} == {torch.float16}
    card = (out / "README.md").read_text(encoding="utf-8")
    for told in ("M parameters", "loss on all of them", "| a | 0.6", "CC BY-SA", "recipes.open_audio train"):
        assert told in card
    with pytest.raises(DataError, match="no result of ssast-tiny-seed0"):
        best_run(results, "ssast", BUDGET)

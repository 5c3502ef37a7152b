"""One training after another gives hear-eval-kit's own results to the last digit.

The last digit of a matrix product is the processor's, and training carries it on: the cases asserted here
are those that come out equal on another processor than the one the kit ran on.
"""

import shutil
from pathlib import Path

import pytest
import torch

from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.probes.data import ProbeData
from axlstm.evaluate.probes.exact import exact_stream, fit_exactly
from axlstm.evaluate.probes.outcome import Outcome
from axlstm.evaluate.probes.probe import probe_embeddings
from axlstm.evaluate.probes.protocol import ProbeConfig, find_protocol
from axlstm.evaluate.probes.selection import Judge
from tests.evaluate.made_task import make_scene_task
from tests.evaluate.reference import DATA, read_json_xz, read_kit_result, read_kit_summary, unpack_task

# The loss is left out: the kit's differs in the sixth digit while every score that ranks is the same.
UNPROMISED = ("test_loss", "time_in_min")


def run(task: str, grid: str, seed: int, folder: Path) -> Outcome:
    protocol = find_protocol({"published_grid": "published", "upstream_grid": "hear"}[grid])
    (outcome,) = probe_embeddings(read_embeddings(unpack_task(task, folder)), [seed], protocol, exact=True)
    return outcome


def assert_equals_the_kit(outcome: Outcome, grid: str, task: str, seed: int) -> None:
    expected = read_kit_result(grid, task, seed)
    found = outcome.to_kit(expected["embedding_path"])
    assert list(found) == list(expected)
    for split in outcome.splits:
        assert list(split.values) == list(expected[split.name])
        for key, value in expected[split.name].items():
            if key not in UNPROMISED:
                assert split.values[key] == value, f"{split.name} {key}"
    for key, value in expected.get("aggregated_scores", {}).items():
        if not key.startswith(UNPROMISED):
            assert found["aggregated_scores"][key] == pytest.approx(value, rel=1e-14), key
    for key, value in expected["hparams"].items():
        if key == "initialization":
            assert found["hparams"][key] in value
        else:
            assert found["hparams"][key] == value
    (row,) = [
        row for row in read_kit_summary() if (row["variant"], row["task"], row["seed"]) == (grid, task, str(seed))
    ]
    assert list(outcome.epochs_run) == [int(epochs) for epochs in row["epochs"].split()]


def test_kfold_task(tmp_path: Path) -> None:
    assert_equals_the_kit(run("kfold2000", "published_grid", 0, tmp_path), "published_grid", "kfold2000", 0)


@pytest.mark.slow
def test_kfold_task_another_seed(tmp_path: Path) -> None:
    assert_equals_the_kit(run("kfold2000", "published_grid", 2, tmp_path), "published_grid", "kfold2000", 2)


def test_every_check_of_a_training(tmp_path: Path) -> None:
    task = read_embeddings(unpack_task("kfold2000", tmp_path))
    data = ProbeData.of(task, task.metadata.data_splits()[0], standardise=False)
    curves = read_json_xz(DATA / "results" / "curves.json.xz")["published_grid/kfold2000/seed0"]
    with exact_stream(0):
        config = find_protocol("published").points(task.metadata, 0)[0]
        fit = fit_exactly(config, data, Judge(task, data.valid.rows))
    assert [[check.epoch, check.value] for check in fit.curve] == [[e, float(v)] for e, v in curves["fit1"]]


@pytest.mark.slow
def test_multilabel_training_follows_the_kits(tmp_path: Path) -> None:
    # Average precision changes with every rounding that swaps two clips, so that digits are the processor's.
    # The repository keeps no test split of this task: its validation split stands in.
    folder = unpack_task("ml960", tmp_path)
    for path in list(folder.glob("valid.*")):
        shutil.copy(path, folder / path.name.replace("valid", "test", 1))
    task = read_embeddings(folder)
    data = ProbeData.of(task, task.metadata.data_splits()[0], standardise=False)
    with exact_stream(0):
        fit = fit_exactly(find_protocol("published").points(task.metadata, 0)[0], data, Judge(task, data.valid.rows))
    expected = read_json_xz(DATA / "results" / "curves.json.xz")["published_grid/ml960/seed0"]["fit1"]
    gaps = [abs(check.value - float(value)) for check, (_, value) in zip(fit.curve, expected, strict=False)]
    assert len(gaps) > 150
    assert max(gaps[:25]) < 1e-4
    assert max(gaps) < 2e-3


def test_threads_and_generator_are_put_back() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with exact_stream(3):
        torch.rand(5)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_the_stream_leaves_the_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)
    with exact_stream(3):
        found = torch.rand(5)
    assert seeded == []
    assert torch.equal(found, torch.rand(5, generator=torch.Generator().manual_seed(3)))


def test_a_last_batch_of_one_clip_is_left_out(tmp_path: Path) -> None:
    task = read_embeddings(make_scene_task(tmp_path / "t", {"train": 9, "valid": 6, "test": 6}))
    data = ProbeData.of(task, task.metadata.data_splits()[0], standardise=False)
    config = ProbeConfig(hidden_dim=8, batch_size=4, max_epochs=6)
    with exact_stream(0):
        fit = fit_exactly(config, data, Judge(task, data.valid.rows))
    assert fit.epochs_run == 6
    assert int(fit.weights["1.num_batches_tracked"]) == 2 * (fit.best.epoch + 1)

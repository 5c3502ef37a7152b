"""Result folders are written as the kit's and read under many names; finished runs are not redone."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from axlstm.errors import ConfigError
from axlstm.evaluate.pipeline import EvaluationConfig, find_embeddings, probe_folders
from axlstm.evaluate.probes.protocol import Protocol
from axlstm.evaluate.reporting.results import LAYOUTS, name_run, read_results
from axlstm.evaluate.tasks.metadata import TaskError, read_note
from tests.evaluate.made_task import make_scene_task
from tests.evaluate.reference import DATA

SMALL = Protocol("small", {"hidden_dim": (8,), "lr": (1e-2,), "max_epochs": (6,)})


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("axlstm_tiny_r1_07/esc50-v2.0.0-full", ("axlstm_tiny", "esc50-v2.0.0-full", 7)),
        ("todo/axlstm_tiny_200_16x4_r1_r1_03/t", ("axlstm_tiny_200_16x4_r1", "t", 3)),
        ("mine/t/seed12", ("mine", "t", 12)),
        ("t/seed2", ("root", "t", 2)),
        ("mine/t", ("mine", "t", 0)),
    ],
)
def test_names_of_folders(tmp_path: Path, folder: str, expected: tuple) -> None:
    root = tmp_path / "root"
    assert name_run(root, root / folder) == expected


def test_own_layouts(tmp_path: Path) -> None:
    assert name_run(tmp_path, tmp_path / "7/speech/big", ["{seed}/{task}/{model}"]) == ("big", "speech", 7)
    with pytest.raises(ConfigError, match=r"needs \{task\}"):
        name_run(tmp_path, tmp_path / "a", ["{model}"])
    with pytest.raises(ConfigError, match="fits none of the layouts"):
        name_run(tmp_path, tmp_path / "a", LAYOUTS)


def test_the_kits_own_results() -> None:
    results = read_results([DATA / "results"])
    found = {(r.model, r.task, r.seed): r.score for r in results}
    assert found["published_grid", "mc960", 1] == pytest.approx(0.71)
    assert found["published_grid", "kfold2000", 2] == pytest.approx(0.454545, abs=1e-6)
    assert {r.score_name for r in results if r.task == "ml960"} == {"mAP"}
    assert all(r.maximise for r in results)


def test_probes_write_what_they_read(tmp_path: Path) -> None:
    make_scene_task(tmp_path / "embeddings" / "mine" / "folds", {f"fold{i:02d}": 8 for i in range(3)})
    make_scene_task(tmp_path / "embeddings" / "mine" / "plain", {"train": 9, "valid": 6, "test": 6})
    (tmp_path / "embeddings" / "mine" / "model.json").write_text(json.dumps({"parameters": 1234}))
    folders = find_embeddings(tmp_path / "embeddings")
    config = EvaluationConfig(SMALL, (0, 3))
    progress: list[tuple[str, int, int]] = []
    assert probe_folders(folders, tmp_path / "out", config, lambda *now: progress.append(now)) == {}
    assert [now for now in progress if now[1] in (0, now[2])] == [
        ("probe mine on folds", 0, 6), ("probe mine on folds", 6, 6),
        ("probe mine on plain", 0, 2), ("probe mine on plain", 2, 2),
    ]  # fmt: skip

    results = read_results([tmp_path / "out"])
    assert {(r.model, r.task, r.seed) for r in results} == {("mine", t, s) for t in ("folds", "plain") for s in (0, 3)}
    (one,) = [r for r in results if (r.task, r.seed) == ("folds", 3)]
    path = tmp_path / "out" / "mine_r1_03" / "folds" / "test.predicted-scores.json"
    content = json.loads(path.read_text())
    assert one.score == content["aggregated_scores"]["test_score_mean"]
    assert list(content) == [
        "fold00", "fold01", "fold02", "aggregated_scores", "hparams", "postprocessing", "score_mode", "embedding_path"
    ]  # fmt: skip
    assert np.sum(one.run["confusion"]) == 24
    assert one.run["parameters"] == 1234

    before = path.stat().st_mtime_ns
    path.with_name("probe.json").touch()
    (tmp_path / "out" / "mine_r1_00" / "plain" / "test.predicted-scores.json").unlink()
    progress.clear()
    probe_folders(folders, tmp_path / "out", config, lambda *now: progress.append(now))
    assert progress == [("probe mine on plain", 0, 1), ("probe mine on plain", 1, 1)]
    assert path.stat().st_mtime_ns == before


def test_a_failure_stays_inside_its_task(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        make_scene_task(tmp_path / "m" / name, {"train": 9, "valid": 6, "test": 6})
    (tmp_path / "m" / "a" / "valid.embeddings.npy").write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        failed = probe_folders(find_embeddings(tmp_path), tmp_path / "out", EvaluationConfig(SMALL, (0,)))
    assert list(failed) == ["m on a"]
    assert "truncated" in failed["m on a"]
    assert "m on a failed: " in caplog.text
    assert [r.task for r in read_results([tmp_path / "out"])] == ["b"]


def test_results_of_other_embeddings_are_made_anew(tmp_path: Path) -> None:
    sizes = {"train": 9, "valid": 6, "test": 6}
    folder = make_scene_task(tmp_path / "m" / "a", sizes)

    def probe() -> list[int]:
        """The number of trainings, for each folder that is probed."""
        progress: list[tuple[str, int, int]] = []
        config = EvaluationConfig(SMALL, (0, 1))
        assert probe_folders([folder], tmp_path / "out", config, lambda *now: progress.append(now)) == {}
        return [total for _, done, total in progress if done == 0]

    assert probe() == [2]
    assert probe() == []
    make_scene_task(folder, sizes, size=5)
    assert probe() == [2]
    (tmp_path / "m" / "model.json").write_text(json.dumps({"fingerprint": "one"}))
    assert probe() == [2]
    assert probe() == []
    (tmp_path / "m" / "model.json").write_text(json.dumps({"fingerprint": "other"}))
    assert probe() == [2]
    (folder / "profile.embeddings.json").write_text(json.dumps({"digest": "one"}))
    assert probe() == [2]
    (folder / "profile.embeddings.json").write_text(json.dumps({"digest": "other"}))
    assert probe() == [2]
    assert probe() == []


def test_results_of_earlier_versions_stay_unless_the_size_differs(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "m" / "a", {"train": 9, "valid": 6, "test": 6})
    probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,)))
    scores = tmp_path / "out" / "m_r1_00" / "a" / "test.predicted-scores.json"
    note = read_note(scores.with_name("probe.json"))
    del note["embeddings"]
    scores.with_name("probe.json").write_text(json.dumps(note))
    (folder / "profile.embeddings.json").write_text(json.dumps({"digest": "new"}))
    before = scores.stat().st_mtime_ns
    assert probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,))) == {}
    assert scores.stat().st_mtime_ns == before
    scores.with_name("probe.json").write_text(json.dumps(note | {"embedding_size": 7}))
    assert probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,))) == {}
    assert scores.stat().st_mtime_ns != before


def test_an_interrupted_replacement_is_not_taken_for_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_scene_task(tmp_path / "m" / "a", {"train": 9, "valid": 6, "test": 6})
    probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,)))
    make_scene_task(folder, {"train": 9, "valid": 6, "test": 6}, size=5)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("axlstm.evaluate.reporting.results.write_atomically", stop)
    with pytest.raises(KeyboardInterrupt):
        probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,)))
    with pytest.raises(ConfigError, match=r"no test\.predicted-scores\.json"):
        read_results([tmp_path / "out"])


def test_a_foreign_error_stays_inside_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("weights")

    folder = make_scene_task(tmp_path / "m" / "a", {"train": 9, "valid": 6, "test": 6})
    monkeypatch.setattr("axlstm.evaluate.pipeline.probe_embeddings", fail)
    failed = probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,)))
    assert failed == {"m on a": "KeyError: 'weights'"}


def test_the_best_device_is_found(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "m" / "a", {"train": 9, "valid": 6, "test": 6})
    assert probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,), device="auto")) == {}


def test_another_protocol_does_not_mix_in(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "m" / "a", {"train": 9, "valid": 6, "test": 6})
    assert probe_folders([folder], tmp_path / "out", EvaluationConfig(SMALL, (0,))) == {}
    (reason,) = probe_folders([folder], tmp_path / "out", EvaluationConfig("knn", (0,))).values()
    assert "was made with protocol 'small', not 'knn'" in reason


def test_neighbours_are_one_result(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "m" / "a", {"train": 9, "valid": 6, "test": 6})
    probe_folders([folder], tmp_path / "out", EvaluationConfig("knn", 10))
    assert len(read_results([tmp_path / "out"])) == 1


def test_nan_scores_survive_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "m_r1_00" / "t"
    folder.mkdir(parents=True)
    (folder / "test.predicted-scores.json").write_text('{"test": {"test_score": NaN, "test_aucroc": NaN}}')
    (result,) = read_results([tmp_path])
    assert math.isnan(result.score)


def test_folders_that_hold_no_results(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no test\.predicted-scores\.json below"):
        read_results([tmp_path])
    with pytest.raises(ConfigError, match="no embeddings at"):
        find_embeddings(tmp_path)
    folder = tmp_path / "m_r1_00" / "t"
    folder.mkdir(parents=True)
    (folder / "test.predicted-scores.json").write_text("{}")
    with pytest.raises(TaskError, match="not a result of hear-eval-kit"):
        read_results([tmp_path])


def test_two_results_of_one_run_are_told(tmp_path: Path) -> None:
    for name in ("m_r1_00", "m_r1_0"):
        (tmp_path / name / "t").mkdir(parents=True)
        (tmp_path / name / "t" / "test.predicted-scores.json").write_text(
            '{"test": {"test_score": 1, "test_top1_acc": 1}}'
        )
    with pytest.raises(ConfigError, match="are both m on t with seed 0"):
        read_results([tmp_path])

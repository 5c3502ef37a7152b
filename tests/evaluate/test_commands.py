"""The commands: from a task to a report, and every step by itself."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.cli.evaluate import evaluate
from axlstm.cli.hear import check, embed, make, probe, report
from axlstm.errors import ConfigError
from tests.evaluate.made_task import make_scene_task
from tests.evaluate.reference import DATA

TASKS = DATA / "embed_stage" / "tasks"
STUB = "module:tests.evaluate.stub_hear_module"


def test_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(("logmel", STUB), TASKS, tmp_path, seeds=2) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "tinyevent-v1-full" in page
    assert "stub_hear_module" in page
    assert "s(m)" in capsys.readouterr().out
    results = sorted((tmp_path / "results" / "published").glob("*/*/test.predicted-scores.json"))
    assert len(results) == 2 * 2 * 2
    scene = json.loads((tmp_path / "results/published/logmel_r1_01/tinyscene-v1-full/probe.json").read_text())
    assert scene["labels"] == ["high", "low", "mid"]

    before = [path.stat().st_mtime_ns for path in results]
    assert evaluate(("logmel", STUB), TASKS, tmp_path, seeds=2) == 0
    assert [path.stat().st_mtime_ns for path in results] == before


def test_step_by_step_with_a_failing_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(TASKS, tasks)
    next((tasks / "tinyevent-v1-full" / "16000" / "test").glob("*.wav")).unlink()
    assert check(tasks) == 1
    assert "tinyscene-v1-full: sound" in capsys.readouterr().out
    assert embed("logmel", tasks, tmp_path / "embeddings", name="baseline") == 1
    assert "is missing" in capsys.readouterr().err
    assert probe(tmp_path / "embeddings" / "baseline" / "tinyscene-v1-full", tmp_path / "results", protocol="knn") == 0
    assert report((tmp_path / "results",), tmp_path / "report") == 0
    assert "baseline" in (tmp_path / "report" / "report.csv").read_text()


def test_own_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["path,label,group"]
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", np.sin(np.arange(8000) * (0.1 + 0.2 * (i % 2) + 0.01 * i)) / 2, 16000)
        lines.append(f"{i}.wav,{'ab'[i % 2]},g{i // 2}")
    (tmp_path / "tones.csv").write_text("\n".join(lines))
    assert make(tmp_path / "tones.csv", tmp_path / "tasks", duration_s=0.5) == 0
    assert "tones-v1-full: multiclass, 2 classes" in capsys.readouterr().out
    assert check(tmp_path / "tasks") == 0


def test_exact_probes(tmp_path: Path) -> None:
    folder = make_scene_task(tmp_path / "m" / "t", {"train": 9, "valid": 6, "test": 6})
    assert probe(folder, tmp_path / "out", seeds=1, protocol="linear", exact=True) == 0
    assert json.loads((tmp_path / "out" / "m_r1_00" / "t" / "probe.json").read_text())["exact"] is True


def test_a_model_that_fails_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    functions = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
    lines = (f"def {name}(*args):\n    raise KeyError('weights')\n" for name in functions)
    (tmp_path / "broken.py").write_text("".join(lines))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"half of")
    models = (str(tmp_path / "damaged"), str(tmp_path / "broken.py"), "logmel")
    assert evaluate(models, TASKS, tmp_path / "out", seeds=1) == 1
    error = capsys.readouterr().err
    assert "axlstm: damaged failed: " in error
    assert "not a readable safetensors file" in error
    assert "axlstm: broken failed: KeyError: 'weights'" in error
    assert "axlstm: 2 failed" in error
    assert "logmel" in (tmp_path / "out" / "report" / "report.md").read_text()


def test_a_model_that_fails_on_sound_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(__file__).with_name("stub_hear_module.py").read_text()
    text = source.replace("    hop = model", '    raise ValueError("boom")\n    hop = model')
    (tmp_path / "fails.py").write_text(text)
    (tmp_path / "lacks.py").write_text(text.replace('ValueError("boom")', 'KeyError("boom")'))
    models = (str(tmp_path / "fails.py"), str(tmp_path / "lacks.py"), "logmel")
    assert evaluate(models, TASKS, tmp_path / "out", seeds=1, device="auto") == 1
    told = capsys.readouterr().err
    assert "fails on tinyevent-v1-full failed: " in told
    assert "fails on tinyscene-v1-full failed: " in told
    assert "ValueError: boom" in told
    assert "KeyError: 'boom'" in told
    assert "logmel" in (tmp_path / "out" / "report" / "report.md").read_text()


def test_changed_labels_reach_the_scores(tmp_path: Path) -> None:
    shutil.copytree(TASKS / "tinyscene-v1-full", tmp_path / "tasks" / "tinyscene-v1-full")
    assert evaluate(("logmel",), tmp_path / "tasks", tmp_path / "out", seeds=1, protocol="knn") == 0
    scores = tmp_path / "out/results/knn/logmel_r1_00/tinyscene-v1-full/test.predicted-scores.json"
    before = json.loads(scores.read_text())["aggregated_scores"]["test_score_mean"]
    for path in sorted((tmp_path / "tasks" / "tinyscene-v1-full").glob("fold*.json")):
        content = {file: ["low" if i % 2 else "high"] for i, file in enumerate(json.loads(path.read_text()))}
        path.write_text(json.dumps(content))
    assert evaluate(("logmel",), tmp_path / "tasks", tmp_path / "out", seeds=1, protocol="knn") == 0
    assert json.loads(scores.read_text())["aggregated_scores"]["test_score_mean"] != before


def test_no_models(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no models given"):
        evaluate((), TASKS, tmp_path)

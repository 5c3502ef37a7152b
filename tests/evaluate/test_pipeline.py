"""One pipeline: options are checked before anything is embedded, and variants of a model share a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import axlstm
from axlstm.checkpoints.own import Checkpoint
from axlstm.cli import main, progress
from axlstm.cli.evaluate import evaluate
from axlstm.cli.hear import embed, probe
from axlstm.embed.embedder import Embedder
from axlstm.errors import AxlstmError, ConfigError
from axlstm.evaluate.embedding.encoders import Candidate, load_encoder, load_variants
from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.pipeline import (
    EvaluationConfig,
    choose_models,
    embed_models,
    evaluate_models,
    probe_folders,
)
from axlstm.evaluate.reporting.results import read_results
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.model.encoder import Encoder
from axlstm.options import ENCODER_DEFAULTS
from tests.evaluate.made_task import make_scene_task
from tests.evaluate.reference import DATA

TASKS = DATA / "embed_stage" / "tasks"
SCENE = TASKS / "tinyscene-v1-full"
IN_TORCH: dict[str, Any] = {"engine": None}  # whose runs can be counted


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "small"
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


@pytest.fixture
def encoded() -> Iterator[list[int]]:
    """The number of windows of every run of an encoder."""
    runs: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        if isinstance(module, Encoder):
            runs.append(len(inputs[0]))

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    yield runs
    hook.remove()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no seeds": ({"seeds": 0}, "seeds=0: expected"),
    "negative seeds": ({"seeds": -2}, "seeds=-2: expected"),
    "exact neighbours": ({"protocol": "knn", "exact": True}, "has no random numbers"),
    "protocol": ({"protocol": "nearest"}, "unknown protocol 'nearest'; the protocols are published"),
    "device": ({"device": "gpu"}, "device='gpu': expected auto, cpu"),
    "absent device": ({"device": "cuda:77"}, "device='cuda:77'"),
    "precision": ({"precision": "fp8"}, "precision='fp8'"),
    "threads": ({"threads": 0}, "threads=0: expected at least 1"),
    "layout": ({"layout": "sideways"}, "layout"),
    "dtype": ({"dtype": "int8"}, "dtype='int8'"),
    "layers": ({"layers": (1, 9)}, r"layers=\[1, 9\]: expected numbers from 0"),
    "pooling": ({"pooling": ("mean", "median")}, "pooling='median'"),
    "pooling twice": ({"pooling": ("mean", "mean")}, "2 models would be called 'small'"),
    "engine": ({"engine": "abacus"}, "engine='abacus'"),
    "engine and dtype": ({"engine": "onnxruntime", "dtype": "float16"}, "engine='onnxruntime'"),
    "tasks": ({"tasks": Path("nowhere")}, "no task at nowhere"),
    "model": ({"models": ("logmel", "axlstm-enormous")}, "unknown model"),
    "weights": ({"models": ("logmel", "nowhere.safetensors")}, r"nowhere\.safetensors: no such file"),
    "module file": ({"models": ("logmel", "nowhere.py@w.pt")}, r"nowhere\.py does not exist"),
    "module": ({"models": ("logmel", "module:nowhere.at_all")}, "module:nowhere.at_all: there is no such"),
    "no models": ({"models": ()}, "no models given"),
    "names": ({"models": ("logmel", "module:other.logmel")}, "2 models would be called 'logmel'"),
    "options of none": ({"models": ("logmel",), "layers": (0,)}, "layers: for axlstm's own models; logmel is none"),
}  # fmt: skip


def grouped(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a command: the options of the encoder are one of them."""
    encoder = {key: value for key, value in options.items() if key in ENCODER_DEFAULTS}
    return {key: value for key, value in options.items() if key not in encoder} | {"encoder": encoder}


def cases_of(*options: str) -> list[str]:
    """The cases that change no other options than these."""
    return [case for case, (changed, _) in WRONG.items() if set(changed) <= set(options)]


@pytest.mark.parametrize("case", WRONG)
def test_options_are_checked_before_anything_is_embedded(
    case: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, message = WRONG[case]
    monkeypatch.setattr("axlstm.evaluate.pipeline.load_variants", lambda *_: pytest.fail("a model was loaded to embed"))
    options: dict[str, Any] = {"models": ("logmel", model), "tasks": TASKS, "out": tmp_path / "out", **changed}
    with pytest.raises((ConfigError, TaskError), match=message):
        evaluate(**grouped(options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", cases_of("tasks", "device", "layout", "dtype", "layers", "pooling", "engine"))
def test_embedding_by_itself_checks_the_same(case: str, model: str, tmp_path: Path) -> None:
    changed, message = WRONG[case]
    with pytest.raises((ConfigError, TaskError), match=message):
        embed(**grouped({"model": model, "tasks": TASKS, "out": tmp_path / "out", **changed}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", cases_of("seeds", "protocol", "exact", "device", "precision", "threads"))
def test_probing_by_itself_checks_the_same(case: str, tmp_path: Path) -> None:
    changed, message = WRONG[case]
    folder = make_scene_task(tmp_path / "m" / "t", {"train": 9, "valid": 6, "test": 6})
    with pytest.raises(ConfigError, match=message):
        probe(folder, tmp_path / "out", **changed)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["", "embeddings", "results", "report"])
def test_an_output_folder_that_is_a_file_is_refused_first(part: str, tmp_path: Path) -> None:
    path = tmp_path / "out" / part
    path.parent.mkdir(exist_ok=True)
    path.write_text("a file")
    with pytest.raises(ConfigError, match="is a file; expected a folder to write to"):
        evaluate(("logmel",), SCENE, tmp_path / "out")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_an_error_on_the_command_line_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "logmel", "--tasks", str(SCENE), "-o", str(tmp_path / "out"), "--protocol", "knn", "--exact"]
    assert main(command) == 1
    assert capsys.readouterr().err.startswith("axlstm: error: exact=True with protocol='knn': the kit does not have it")


@pytest.mark.parametrize("name", ["tiny-mean+dev", "tiny_2.1", "kleine-Übung"])
def test_a_name_is_kept(name: str, tmp_path: Path) -> None:
    assert embed("logmel", SCENE, tmp_path / "embeddings", name=name) == 0
    assert [path.name for path in (tmp_path / "embeddings").iterdir()] == [name]
    assert probe(tmp_path / "embeddings", tmp_path / "results", protocol="knn") == 0
    assert {result.model for result in read_results([tmp_path / "results"])} == {name}


@pytest.mark.parametrize("name", ["a/b", "../a", ".hidden", "-v", "with space", "dot.", "a:b", "a\n"])
def test_a_name_that_cannot_be_kept_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected letters, digits and"):
        embed("logmel", SCENE, tmp_path, name=name)
    with pytest.raises(ConfigError, match="expected letters, digits and"):
        load_encoder("logmel", name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["tinyscene-v1-full", "tinyevent-v1-full"])
def test_variants_of_a_model_share_one_run_of_the_encoder(
    task: str, model: str, tmp_path: Path, encoded: list[int]
) -> None:
    apart = {}
    for pooling in ("mean", "mean+deviation"):
        encoded.clear()
        assert embed(model, TASKS / task, tmp_path / pooling, pooling=(pooling,), encoder=IN_TORCH) == 0
        apart[pooling] = sum(encoded)
    assert apart["mean"] == apart["mean+deviation"] > 0
    encoded.clear()
    assert embed(model, TASKS / task, tmp_path / "both", pooling=("mean", "mean+deviation"), encoder=IN_TORCH) == 0
    assert sum(encoded) == apart["mean"]
    for pooling, name in (("mean", "small"), ("mean+deviation", "small-mean+deviation")):
        ours, alone = tmp_path / "both" / name, tmp_path / pooling / "small"
        assert (ours / "model.json").read_text() == (alone / "model.json").read_text()
        found, expected = read_embeddings(ours / task), read_embeddings(alone / task)
        for split, packed in found.splits.items():
            np.testing.assert_array_equal(packed.embeddings, expected.splits[split].embeddings)
    encoded.clear()
    assert embed(model, TASKS / task, tmp_path / "both", pooling=("mean", "mean+deviation"), encoder=IN_TORCH) == 0
    assert encoded == []


def test_variants_share_a_run_wherever_they_stand_and_go_on_together(
    model: str, tmp_path: Path, encoded: list[int]
) -> None:
    models = [
        Candidate(model, "first", IN_TORCH),
        Candidate("logmel"),
        Candidate(model, "second", {**IN_TORCH, "pooling": "mean+deviation"}),
    ]
    folders, failures = embed_models(models, SCENE, tmp_path)
    assert failures == {}
    assert {folder.parent.name for folder in folders} == {"first", "second", "logmel"}
    clips = sum(encoded)
    (tmp_path / "second" / SCENE.name / ".done.embeddings").unlink()
    next((tmp_path / "second" / SCENE.name / "fold01").glob("*.embedding.npy")).unlink()
    before = (tmp_path / "first" / SCENE.name / ".done.embeddings").stat().st_mtime_ns
    encoded.clear()
    embed_models(models, SCENE, tmp_path)
    assert 0 < sum(encoded) < clips
    assert (tmp_path / "second" / SCENE.name / ".done.embeddings").is_file()
    assert (tmp_path / "first" / SCENE.name / ".done.embeddings").stat().st_mtime_ns == before


def test_models_that_differ_in_more_than_pooling_have_runs_of_their_own(model: str) -> None:
    plain, pooled = Candidate(model), Candidate(model, "b", {"pooling": "mean+deviation"})
    assert plain.shares_run(pooled)
    assert not plain.shares_run(Candidate(model, "c", {"layout": "published", "pooling": "mean+deviation"}))
    assert not plain.shares_run(Candidate("axlstm-tiny", "d"))
    assert not plain.shares_run(Candidate(model, "e", build=lambda: axlstm.create_model("axlstm-tiny")))
    assert not Candidate("logmel").shares_run(Candidate("logmel", "f"))


def test_one_build_serves_several_poolings(tmp_path: Path, model: str) -> None:
    made: list[axlstm.Embedder] = []

    def build() -> axlstm.Embedder:
        made.append(axlstm.load_model(model))
        return made[-1]

    models = [Candidate("x", name, {"pooling": name}, build) for name in ("mean+deviation", "mean")]
    folders, failures = embed_models(models, SCENE, tmp_path)
    assert not failures
    assert len(made) == 1
    sizes = [read_embeddings(folder).embedding_size for folder in folders]
    assert sizes == [2 * made[0].timestamp_embedding_size, made[0].timestamp_embedding_size]
    pooled = [Candidate("x", "own", build=lambda: axlstm.load_model(model, pooling="mean+deviation"))]
    pooled.append(replace(pooled[0], name="mean", options={"pooling": "mean"}))
    assert [encoder.model.pooling for encoder in load_variants(pooled)] == ["mean+deviation", "mean"]


@pytest.mark.parametrize("options", [{"layout": "published"}, {"dtype": "bfloat16"}, {"layers": (0, 1)}])
def test_options_reach_the_model(options: dict[str, Any], model: str, tmp_path: Path) -> None:
    assert embed(model, SCENE, tmp_path / "embed", **grouped(options)) == 0
    assert evaluate(("logmel", model), SCENE, tmp_path / "evaluate", protocol="knn", **grouped(options)) == 0
    expected = axlstm.load_model(model, **options).fingerprint
    assert expected != axlstm.load_model(model).fingerprint
    for folder in (tmp_path / "embed", tmp_path / "evaluate" / "embeddings"):
        assert json.loads((folder / "small" / "model.json").read_text())["fingerprint"] == expected


def test_the_engine_reaches_the_model(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[str | None] = []

    def make(checkpoint: Checkpoint, **options: Any) -> Embedder:
        engines.append(options.pop("engine"))
        return Embedder(checkpoint, **options)

    monkeypatch.setattr("axlstm.evaluate.pipeline.Embedder", make)
    assert embed(model, SCENE, tmp_path, encoder={"engine": "processes"}, pooling=("mean", "mean+deviation")) == 0
    assert engines == ["processes"]  # the check starts no engine, and the two poolings share one


def test_an_engines_variants_are_told_apart(model: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert embed(model, SCENE, tmp_path, pooling=("mean", "mean+deviation"), encoder={"engine": "onnxruntime"}) == 0
    names = ("small", "small-mean+deviation")
    both = [json.loads((tmp_path / name / "model.json").read_text())["fingerprint"] for name in names]
    alone = axlstm.load_model(model, engine="onnxruntime", pooling="mean+deviation").fingerprint
    assert both[0] != both[1] == alone


def test_the_command_line_takes_the_options_of_embedding(model: str, tmp_path: Path) -> None:
    options = ["--pooling", "mean", "mean+deviation", "--layers", "0", "1", "--dtype", "bfloat16", "--device", "auto"]
    assert main(["hear", "embed", model, str(SCENE), str(tmp_path / "embed"), *options]) == 0
    command = ["evaluate", model, "--tasks", str(SCENE), "-o", str(tmp_path / "evaluate"), "--protocol", "knn"]
    assert main([*command, *options]) == 0
    expected = axlstm.load_model(model, layers=(0, 1), dtype="bfloat16", pooling="mean+deviation").fingerprint
    for folder in (tmp_path / "embed", tmp_path / "evaluate" / "embeddings"):
        note = json.loads((folder / "small-mean+deviation" / "model.json").read_text())
        assert note["fingerprint"] == expected


def test_what_is_wrong_with_a_task_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = [make_scene_task(tmp_path / name / "t", {"a": 6, "b": 6, "c": 2}, classes=3) for name in ("x", "y")]
    assert probe_folders(folders, tmp_path / "out", EvaluationConfig("knn")) == {}
    told = "t, test split c: no clip of class c2: its average precision counts 0, AUC and d' are NaN"
    assert [record.getMessage() for record in caplog.records].count(told) == 1
    assert caplog.text.count("average precision") == 1


def test_another_model_under_a_name_fails_by_itself(model: str, tmp_path: Path) -> None:
    assert embed(model, SCENE, tmp_path / "embeddings", pooling=("mean+deviation",)) == 0
    done = evaluate_models(choose_models([model, "logmel"]), TASKS, tmp_path, EvaluationConfig("knn"))
    assert list(done.failures) == ["small"]
    assert "holds embeddings of another model (fingerprint: '" in done.failures["small"]
    assert {result.model for result in done.results} == {"logmel"}
    assert done.report == tmp_path / "report" / "report.html"


def test_nothing_but_failures_makes_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AxlstmError("no sound")

    monkeypatch.setattr("axlstm.evaluate.pipeline.embed_variants", fail)
    assert evaluate(("logmel",), TASKS, tmp_path) == 1
    error = capsys.readouterr().err
    assert "axlstm: logmel on tinyscene-v1-full failed: no sound" in error
    assert "axlstm: 2 failed" in error
    assert not (tmp_path / "report").exists()


def test_a_class_without_a_training_clip_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = tmp_path / "tasks" / "hits"
    shutil.copytree(TASKS / "tinyevent-v1-full", task)
    train = json.loads((task / "train.json").read_text())
    kept = {file: [event for event in events if event["label"] != "high"] for file, events in train.items()}
    (task / "train.json").write_text(json.dumps(kept))
    (tmp_path / "tasks" / "broken").mkdir()
    (tmp_path / "tasks" / "broken" / "task_metadata.json").write_text("{")
    _, failures = embed_models(
        [Candidate("logmel"), Candidate("logmel", "again")], tmp_path / "tasks", tmp_path / "out"
    )
    assert set(failures) == {"logmel on broken", "again on broken"}
    assert caplog.text.count("hits: no training clip of high for the test split test") == 1


def test_what_is_returned(model: str, tmp_path: Path) -> None:
    shutil.copytree(SCENE, tmp_path / "tasks" / "scene")
    done = evaluate_models(
        choose_models([model], poolings=("mean", "mean+deviation")), tmp_path / "tasks", tmp_path / "out",
        EvaluationConfig("knn"),
    )  # fmt: skip
    names = ["small", "small-mean+deviation"]
    assert done.folders == [tmp_path / "out" / "embeddings" / name / "scene" for name in names]
    assert done.failures == {}
    assert sorted(result.model for result in done.results) == names
    assert done.summary is not None
    assert done.summary.scores.models == names


def run_embed(model: str, out: Path) -> int:
    return main(["hear", "embed", model, str(TASKS), str(out / "embeddings")])


def run_probe(model: str, out: Path) -> int:
    assert embed(model, TASKS, out / "embeddings") == 0
    return main(["hear", "probe", str(out / "embeddings"), "-o", str(out / "results"), "--seeds", "1"])


def run_evaluate(model: str, out: Path) -> int:
    return main(["evaluate", model, "--tasks", str(TASKS), "-o", str(out), "--seeds", "1"])


@pytest.mark.parametrize(
    ("command", "stages"), [(run_embed, ["embed"]), (run_probe, ["probe"]), (run_evaluate, ["embed", "probe"])]
)
def test_long_commands_print_lines_where_stderr_is_a_file(
    command: Callable[[str, Path], int],
    stages: list[str],
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    assert command(model, tmp_path) == 0
    lines = capsys.readouterr().err.splitlines()
    for stage in stages:
        for task in ("tinyscene-v1-full", "tinyevent-v1-full"):
            said = [line for line in lines if line.startswith(f"{stage} small on {task}  ")]
            assert len(said) > 2
            done, total = said[-1].split()[4].split("/")
            assert done == total

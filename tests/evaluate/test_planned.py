"""Tasks that are embedded in parts have the embeddings that they have without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import axlstm
from axlstm.cli import main
from axlstm.embed import computation
from axlstm.engines.choice import Choice
from axlstm.errors import ConfigError
from axlstm.evaluate.planned import HearParts, plan_hear
from axlstm.parts import choice
from axlstm.parts.plan import Limits
from axlstm.parts.runners import in_turn
from tests.evaluate.test_commands import STUB, TASKS

Capture = pytest.CaptureFixture[str]
PARTS = ["--runner", "processes", "--part-files", "7"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have parts done in this process."""
    monkeypatch.setattr(choice, "choose_runner", lambda *_: in_turn)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "small"
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


def content(folder: Path) -> dict[str, bytes]:
    """All files, but for what tells how long it took and the folder's own name."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: text for name, text in files.items() if "profile" not in name and "filename-timestamps" not in name}


def digests(folder: Path) -> list[str]:
    paths = sorted(folder.rglob("profile.embeddings.json"))
    return [json.loads(path.read_text(encoding="utf-8"))["digest"] for path in paths]


def test_parts_give_the_same_embeddings(model: str, tmp_path: Path) -> None:
    more = ["--name", "m", "--pooling", "mean", "mean+deviation"]
    assert main(["hear", "embed", model, str(TASKS), str(tmp_path / "plain"), *more]) == 0
    assert main(["hear", "embed", model, str(TASKS), str(tmp_path / "parts"), *more, *PARTS]) == 0
    assert content(tmp_path / "parts") == content(tmp_path / "plain")
    assert digests(tmp_path / "parts") == digests(tmp_path / "plain")
    assert len(digests(tmp_path / "parts")) == 4
    assert not (tmp_path / "parts.work").exists()


def test_a_task_that_fails_is_told_and_the_others_are_kept(tmp_path: Path, capsys: Capture) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(TASKS, tasks)
    clip = next((tasks / "tinyevent-v1-full" / "16000" / "test").glob("*.wav"))
    clip.rename(tmp_path / "clip.wav")
    told = []
    for name, more in (("plain", []), ("parts", PARTS)):
        assert main(["hear", "embed", STUB, str(tasks), str(tmp_path / name), *more]) == 1
        told.append(capsys.readouterr().err.splitlines()[-2:])
    assert told[0] == told[1]
    assert "is missing" in told[0][0]
    (tmp_path / "clip.wav").rename(clip)
    assert main(["hear", "embed", STUB, str(tasks), str(tmp_path / "parts"), *PARTS]) == 0
    assert main(["hear", "embed", STUB, str(tasks), str(tmp_path / "plain")]) == 0
    assert content(tmp_path / "parts") == content(tmp_path / "plain")


def test_a_plan_goes_on_in_its_engine(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (model, TASKS, tmp_path / "out", str(tmp_path / "work"), Limits(files=7, megabytes=100))
    monkeypatch.setattr(computation, "choose_engine", lambda *_: Choice(None, "it is not there"))
    _, plan = plan_hear(*arguments)
    monkeypatch.undo()
    _, again = plan_hear(*arguments)
    assert again == plan
    assert again.job["options"]["engine"] is None


def test_a_worker_with_other_weights_is_refused(model: str, tmp_path: Path) -> None:
    source = shutil.copytree(model, tmp_path / "model")
    _, plan = plan_hear(str(source), TASKS, tmp_path / "out", str(tmp_path / "work"), Limits(files=7, megabytes=100))
    assert HearParts(plan).encoders[0].name == "model"
    shutil.rmtree(source)
    axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2, seed=1).save_pretrained(source)
    with pytest.raises(ConfigError, match="model: its weights are other ones than those that the parts were planned"):
        HearParts(plan)

"""Detections that are found in parts are those that are found without them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from axlstm.cli import main
from axlstm.collection.detections import work
from axlstm.parts import choice
from axlstm.parts.runners import in_turn
from axlstm.store import planned
from tests.collection.detections.made import save_classifier
from tests.parts.corpora import write_tar

Capture = pytest.CaptureFixture[str]
PARTS = ["--runner", "processes", "--part-files", "2"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have parts done in this process."""
    monkeypatch.setattr(choice, "choose_runner", lambda *_: in_turn)


@pytest.fixture(scope="module")
def classifier(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_classifier(tmp_path_factory.mktemp("classifier") / "wren.model", model))


@pytest.mark.parametrize("long_s", [600.0, 2.5], ids=["short", "some long"])
def test_parts_give_the_same_detections_and_scores(
    classifier: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, long_s: float
) -> None:
    for module in (planned, work):
        monkeypatch.setattr(module, "LONG_SECONDS", long_s)
    (sounds / "broken.wav").write_bytes(b"no sound")
    (sounds / "notes.txt").touch()
    told = []
    for name, more in (("plain", []), ("parts", PARTS)):
        (tmp_path / name).mkdir()
        out, scores = tmp_path / name / "out.csv", tmp_path / name / "scores.parquet"
        command = ["detect", classifier, str(sounds), "-o", str(out), "--scores", str(scores), *more]
        assert main(command) == 0
        told.append(capsys.readouterr().out.replace(str(out), "OUT"))
    assert told[0] == told[1]
    for name in ("out.csv", "out.csv.skipped.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    ours, theirs = (pq.read_table(tmp_path / name / "scores.parquet") for name in ("parts", "plain"))
    assert ours.equals(theirs)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "out.csv",
        "out.csv.skipped.jsonl",
        "scores.parquet",
    ]
    (sounds / "notes.txt").rename(sounds / "late.wav")
    (sounds / "late.wav").write_bytes((sounds / "01.wav").read_bytes())
    assert main(command) == 0
    assert "1 scored, 6 scored before, 1 skipped" in capsys.readouterr().out


def test_a_tar_gives_the_detections_of_its_files(
    classifier: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {path.name: path.read_bytes() for path in sorted(sounds.rglob("*.wav"))}
    tar = write_tar(tmp_path / "sounds.tar", contents)
    assert main(["detect", classifier, str(sounds), "-o", "files.csv"]) == 0
    assert main(["detect", classifier, tar.name, "-o", "tar.csv", *PARTS]) == 0

    def rows(out: str) -> list[str]:
        return sorted(line.rpartition("/")[2] for line in Path(out).read_text(encoding="utf-8").splitlines()[1:])

    assert rows("tar.csv") == rows("files.csv")
    assert rows("tar.csv")


def test_what_does_not_fit_is_refused(classifier: str, sounds: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["detect", classifier, "s3://bucket/in", "-o", str(tmp_path / "a.csv")]) == 1
    assert "s3://bucket/in: a URL needs parts: add --runner" in capsys.readouterr().err
    command = ["detect", classifier, str(sounds), "-o", str(tmp_path / "a.csv"), "--runner", "slurm"]
    assert main(command) == 0
    assert main([*command, "--threshold", "0.5"]) == 1
    assert "was planned otherwise" in capsys.readouterr().err
    assert json.loads((tmp_path / "a.csv.work/_plan/plan.json").read_text())["job"]["command"] == "detect"

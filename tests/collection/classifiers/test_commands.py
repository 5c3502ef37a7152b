"""Training and suggesting from the command line: what is written, what is said, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from axlstm.cli import main
from axlstm.collection.classifiers.classifier import DESCRIPTION, load_classifier
from axlstm.collection.collection import Collection
from axlstm.seals import seal_object
from tests.collection.classifiers.made import label_birds, make_birds
from tests.conftest import run_without

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def birds(tmp_path: Path) -> Iterator[Collection]:
    with make_birds(tmp_path) as made:
        label_birds(made, 8)
        yield made


def test_a_classifier_is_trained_described_and_asked(birds: Collection, tmp_path: Path, capsys: Capture) -> None:
    folder, out = str(birds.folder), tmp_path / "birds.model"
    assert main(["train", folder, "--label", "wren,robin", "--precision", "0.9", "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"wren +32 +40 +0 +[01]\.\d\d", told)
    assert "80 windows with labels; 160 without, which are not known and left out" in told
    assert "grouped by site (the metadata have one for every recording): 4 groups; validation: 4 folds" in told
    assert "wren: 20 more labels of the same kind would add" in told
    assert f"{out}: classifier of wren, robin" in told
    files = {DESCRIPTION, "head.safetensors", "report.html", "README.md", "curves.json"}
    assert {path.name for path in out.iterdir()} == files
    assert load_classifier(out).card["labels"]["wren"]["precision"][0] >= 0.9
    assert main(["info", str(out)]) == 0
    told = re.sub(" +", " ", capsys.readouterr().out)
    assert "kind classifier" in told
    assert "label wren threshold" in told
    assert main(["suggest", folder, "--label", "robin", "--classifier", str(out), "-k", "4", "--by", "quantile"]) == 0
    assert "4 hits of" in capsys.readouterr().out


def test_suggestions_go_into_a_file_that_becomes_labels(birds: Collection, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "next.csv"
    assert main(["suggest", str(birds.folder), "--label", "wren", "-k", "5", "-o", str(out)]) == 0
    assert f"{out}: 5 hits" in capsys.readouterr().out
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "label", "verdict"])
        writer.writeheader()
        writer.writerows({**row, "label": "wren", "verdict": "no"} for row in rows)
    assert main(["label", "import", str(birds.folder), str(out)]) == 0
    first = {(hit.path, hit.start_s) for hit in birds.suggest("wren", count=5)}
    assert not first & {(row["path"], float(row["start_s"])) for row in rows}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--label", "owl"], "no label 'owl'"),
        ([], "no label to train; it has"),
        (["--label", "wren", "--precision", "0.9", "--recall", "0.9"], "choose one of them"),
        (["--label", "wren", "--precision", "2"], "precision=2.0: expected a share"),
        (["--label", "wren", "--encoder", "other"], "no encoder other; it has made"),
        (["--label", "wren", "--weak-negatives", "-3"], "weak_negatives=-3: expected"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    birds: Collection, tmp_path: Path, capsys: Capture, words: list[str], told: str
) -> None:
    assert main(["train", str(birds.folder), "-o", str(tmp_path / "m"), *words]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_what_is_there_is_not_overwritten(birds: Collection, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine").touch()
    assert main(["train", str(birds.folder), "--label", "wren", "-o", str(tmp_path / "m")]) == 1
    assert "there already" in capsys.readouterr().err
    assert main(["suggest", str(birds.folder), "--label", "wren", "--clips", str(tmp_path / "m")]) == 1
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["mine"]


def test_a_classifier_of_other_windows_or_newer_is_refused(birds: Collection, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "m"
    birds.train("wren", out)
    ask = ["suggest", str(birds.folder), "--label", "wren", "--classifier", str(out)]
    birds.tables.execute("UPDATE encoders SET fingerprint = 'other'")
    assert main(ask) == 1
    assert "no windows of the classifier's encoder (2 s every 1 s by nowhere" in capsys.readouterr().err
    about = json.loads((out / DESCRIPTION).read_text())
    del about["crc32"]
    (out / DESCRIPTION).write_text(json.dumps(seal_object({**about, "version": 9})))
    assert main(ask) == 1
    assert "install a newer axlstm" in capsys.readouterr().err


def test_a_strange_card_is_described_as_far_as_it_can_be(birds: Collection, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "m"
    birds.train("wren", out)
    about = json.loads((out / DESCRIPTION).read_text())
    del about["crc32"]
    for card in ({}, {"labels": 3}, {"labels": {"wren": []}}, {"labels": {"wren": {"average_precision": {"a": 1}}}}):
        (out / DESCRIPTION).write_text(json.dumps(seal_object({**about, "card": card})))
        assert main(["info", str(out)]) == 0
        assert "threshold 0.50" in capsys.readouterr().out


def test_without_scikit_learn_the_extra_is_named(birds: Collection, tmp_path: Path) -> None:
    done = run_without("sklearn", "train", str(birds.folder), "--label", "wren", "-o", str(tmp_path / "m"))
    assert done.returncode == 1
    assert done.stderr == 'axlstm: error: this needs sklearn: pip install "axlstm[evaluate]"\n'

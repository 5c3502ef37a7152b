"""A classifier is trained on what labels say, is judged out of group, comes back the same, and says what it lacks."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import axlstm.collection
from axlstm.collection.classifiers.assess import GRID, assess_all, find_mistakes
from axlstm.collection.classifiers.classifier import Layer, load_classifier
from axlstm.collection.classifiers.heads import Head, Setting
from axlstm.collection.classifiers.joining import bound_layers, stack_heads
from axlstm.collection.classifiers.training import TrainOptions, train
from axlstm.collection.collection import Collection
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, DataError
from tests.collection.classifiers.made import label_birds, make_birds
from tests.collection.vectors import add_part, add_recording, make_collection


@pytest.fixture
def birds(tmp_path: Path) -> Iterator[Collection]:
    with make_birds(tmp_path) as made:
        yield made


def test_a_label_that_vectors_tell_is_told_in_recordings_without_labels(birds: Collection, tmp_path: Path) -> None:
    label_birds(birds, 16)
    classifier = birds.train(["wren", "robin"], tmp_path / "birds.model")
    about = classifier.card["labels"]["wren"]
    assert (about["yes"], about["no"], about["unsure"]) == (64, 80, 0)
    assert about["average_precision"][0] > 0.9
    assert about["average_precision"][1] < about["average_precision"][0] <= 1
    assert classifier.card["grouped_by"] == "site"
    table = WindowTable(birds, birds.encoder())
    new = classifier.probabilities(table.take_vectors(np.arange(160, 240))).reshape(8, 10, 2)
    heard = new >= classifier.thresholds
    assert heard[:, 6:, 0].mean() > 0.85
    assert heard[:, :6, 0].mean() < 0.15
    assert heard[:, :2, 1].mean() > 0.85
    again = load_classifier(tmp_path / "birds.model")
    np.testing.assert_array_equal(
        again.probabilities(table.take_vectors(np.arange(20))),
        classifier.probabilities(table.take_vectors(np.arange(20))),
    )
    assert again.card == classifier.card


@pytest.mark.parametrize("options", [{}, {"mode": "multiclass"}, {"weak_negatives": 30}])
def test_equal_seeds_give_equal_classifiers(birds: Collection, tmp_path: Path, options: dict[str, Any]) -> None:
    label_birds(birds, 4)
    for name in ("a", "b"):
        birds.train(["wren", "robin"], tmp_path / name, seed=3, **options)
    assert (tmp_path / "a" / "head.safetensors").read_bytes() == (tmp_path / "b" / "head.safetensors").read_bytes()
    cards = [load_classifier(tmp_path / name).card for name in ("a", "b")]
    assert cards[0]["labels"] == cards[1]["labels"]


def test_classes_with_a_background(birds: Collection) -> None:
    label_birds(birds)
    classifier = birds.train(["wren", "robin"], mode="multiclass")
    table = WindowTable(birds, birds.encoder())
    found = classifier.probabilities(table.take_vectors(np.arange(240))).reshape(24, 10, 2)
    assert classifier.background
    assert (found[:, 6:, 0] > 0.5).mean() > 0.8
    assert (found[:, :2, 1] > 0.5).mean() > 0.9
    assert (found[:, 4:6].sum(axis=2) < 0.5).mean() > 0.7  # windows 4 and 5 are a no for both
    assert "72 windows left out that are a no for some of the labels only" in classifier.card["notes"]


@pytest.mark.parametrize("head", ["lda", "mlp", "auto"])
def test_other_heads_tell_it_too(birds: Collection, head: Any) -> None:
    label_birds(birds, 3, robins=False)
    classifier = birds.train("wren", head=head)
    assert classifier.card["labels"]["wren"]["average_precision"][0] > 0.8
    assert len(classifier.layers) == (2 if classifier.card["labels"]["wren"]["head"].startswith("mlp") else 1)


def test_thresholds_are_set_by_precision_or_recall(birds: Collection) -> None:
    label_birds(birds)
    for asked in ({"precision": 0.98}, {"recall": 0.98}):
        ((name, value),) = asked.items()
        card = birds.train("wren", **asked).card  # type: ignore[arg-type]
        assert card["labels"]["wren"][name][0] > value - 0.15


@pytest.mark.parametrize("yes", [1, 2, 3])
def test_few_yes_are_trained_on_and_what_is_not_known_is_said(birds: Collection, yes: int) -> None:
    for number in range(yes):
        birds.label(f"{number:02d}.wav", "wren", 7, 9)
    for number in range(4):
        birds.label(f"{number:02d}.wav", "wren", 0, 4, verdict="no")
    classifier = birds.train("wren")
    about, notes = classifier.card["labels"]["wren"], classifier.card["notes"]
    assert about["yes"] == yes
    table = WindowTable(birds, birds.encoder())
    found = classifier.probabilities(table.take_vectors(np.arange(240))).reshape(24, 10)
    assert found[:, 6:].mean() > found[:, 2:6].mean()
    assert any("not calibrated" in note for note in notes)
    if yes == 1:
        assert "average_precision" not in about
        assert any(note.startswith("wren: every yes is of one recording, 00.wav") for note in notes)
    else:
        assert about["average_precision"][0] > 0


def test_labels_of_one_recording_are_not_judged(birds: Collection) -> None:
    birds.label("00.wav", "wren", 6, 11)
    birds.label("00.wav", "wren", 0, 6, verdict="no")
    card = birds.train("wren").card
    assert card["validation"] == "none: too few groups"
    assert len([note for note in card["notes"] if "of one recording, 00.wav" in note]) == 2


def test_unlabelled_windows_stand_in_for_a_no_and_are_not_judged_by(birds: Collection) -> None:
    for number in range(8):
        birds.label(f"{number:02d}.wav", "wren", 6, 11)
    with pytest.raises(DataError, match="none is a no"):
        birds.train("wren")
    card = birds.train("wren", weak_negatives=60).card
    assert card["windows"] == {"labelled": 32, "unlabelled": 208, "weak_negatives": 60}
    assert any("no window is a no but unlabelled ones" in note for note in card["notes"])
    card = birds.train("wren", weak_negatives=500).card
    assert "208 unlabelled windows are there to count as a no, of 500" in card["notes"]


def test_vectors_of_no_numbers_are_left_out_and_told(birds: Collection) -> None:
    label_birds(birds, 8, robins=False)
    values = np.ones((10, 12), np.float16)
    values[:4] = np.nan
    birds.tables.execute("UPDATE encoders SET statistics_rows = 0")
    mean, deviation = birds.statistics(birds.encoder())
    add_part(birds, birds.encoder(), {1: values})
    birds.tables.execute("UPDATE encoders SET mean = ?, deviation = ?", (mean.tobytes(), deviation.tobytes()))
    card = birds.train("wren").card
    assert "4 windows left out whose vectors hold values that are no numbers" in card["notes"]


@pytest.mark.parametrize("mode", ["multilabel", "multiclass"])
def test_progress_comes_after_each_fit_and_its_exception_ends_the_work(
    birds: Collection, tmp_path: Path, mode: Any
) -> None:
    label_birds(birds, 8)
    told: list[float] = []
    birds.train(["wren", "robin"], tmp_path / "whole.model", mode=mode, progress=told.append)
    assert sum(told) == pytest.approx(2)
    assert max(told) < 0.2
    for moment in (1, len(told) // 2, len(told)):
        left = iter(range(moment))

        def end(part: float, left: Iterator[int] = left) -> None:
            if next(left, None) is None or part == 0.0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            birds.train(["wren", "robin"], tmp_path / "half.model", mode=mode, progress=end)
        assert not (tmp_path / "half.model").exists()


def test_what_cannot_be_trained_is_refused_before_it_is(birds: Collection, tmp_path: Path) -> None:
    label_birds(birds, 8)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(ConfigError, match="there already"):
        birds.train("wren", tmp_path / "there")
    with pytest.raises(DataError, match="no label 'wrenn'; it has wren"):
        birds.train("wrenn")
    with pytest.raises(ConfigError, match="no encoder other; it has made"):
        birds.train("wren", encoder="other")
    for wrong in ({"mode": "both"}, {"head": "tree"}, {"weak_negatives": -1}, {"seed": -1}, {"group": "year"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            birds.train("wren", **wrong)  # type: ignore[arg-type]
    birds.label("00.wav", "owl", 0, 2, verdict="unsure")
    with pytest.raises(DataError, match="label 'owl': no window is a yes"):
        birds.train("owl")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".model"] == []


def test_heads_side_by_side_score_as_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    linear = Head((Layer(rng.normal(size=(1, 5)), rng.normal(size=1)),))
    deep = Head(
        (Layer(rng.normal(size=(4, 5)), rng.normal(size=4)), Layer(rng.normal(size=(1, 4)), rng.normal(size=1)))
    )
    vectors = rng.normal(size=(6, 5))
    for heads in ([linear, linear], [linear, deep], [deep, linear, deep]):
        expected = np.concatenate([head.scores(vectors) for head in heads], axis=1)
        np.testing.assert_allclose(Head(stack_heads(heads)).scores(vectors), expected)


def test_large_weights_are_divided_and_probabilities_stay() -> None:
    last = Layer(np.array([[3e6, 1.0], [2.0, 1.0]]), np.array([-9e6, 0.5]))
    layers, slope = bound_layers([last], np.array([2.0, 3.0]))
    vectors = np.array([[1.0, 2.0], [4.0, 0.0]])
    before = vectors @ last.weight.T + last.bias
    np.testing.assert_allclose(slope * Head(layers).scores(vectors), [2.0, 3.0] * before)
    assert np.abs(layers[0].weight).max() <= 1e4


@pytest.mark.parametrize("head", ["logistic", "lda", "mlp"])
def test_windows_that_are_all_alike_make_a_classifier_that_can_be_read(tmp_path: Path, head: Any) -> None:
    with make_collection(tmp_path / "c", tmp_path / "sounds", size=4) as collection:
        values = np.repeat(np.array([[1.0, 0, 0, 1e-3], [0, 1, 0, 1e-3]]), 5, axis=0)
        numbers = [add_recording(collection, f"{number}.wav", 11.0) for number in range(6)]
        add_part(collection, collection.encoder(), dict.fromkeys(numbers, values))
        for number in range(6):
            collection.label(f"{number}.wav", "wren", 0, 5)
            collection.label(f"{number}.wav", "wren", 5, 11, verdict="no")
        classifier = collection.train("wren", tmp_path / "m", head=head)
        again = load_classifier(tmp_path / "m").probabilities(values)
        np.testing.assert_array_equal(again, classifier.probabilities(values))
        assert again[:5].min() > again[5:].max()


def test_curves_counts_and_mistakes_belong_together(birds: Collection) -> None:
    label_birds(birds)
    table = WindowTable(birds, birds.encoder())
    trained = train(birds, table, ["wren"], TrainOptions())
    (found,) = assess_all(trained)
    assert found is not None
    counts = found.counts
    assert counts.hits + counts.misses == 96
    assert counts.false_alarms + counts.rejections == 120
    assert found.recall.mean == counts.hits / 96
    assert found.precision.mean == counts.hits / (counts.hits + counts.false_alarms)
    assert found.roc.value[0] <= found.roc.value[-1] == 1
    assert (found.precision_recall.low <= found.precision_recall.high)[np.isfinite(found.precision_recall.low)].all()
    assert len(found.roc.value) == len(GRID)
    assert sum(one.windows for one in found.bins) == 216
    _, outcome = trained.of_label(0)
    mistakes = find_mistakes(outcome, 0.5, most=1000)
    assert len(mistakes) == counts.misses + counts.false_alarms
    assert all((mistake.probability >= 0.5) != mistake.is_yes for mistake in mistakes)
    of_no = [mistake.probability for mistake in mistakes if not mistake.is_yes]
    assert of_no == sorted(of_no, reverse=True)


def test_more_labels_bring_less_where_there_are_many(birds: Collection) -> None:
    gains = []
    for recordings in (4, 24):
        label_birds(birds, recordings, robins=False)
        gains.append(birds.train("wren", group="recording").card["labels"]["wren"]["gain"])
    for mean, low, high in gains:
        assert low <= mean <= high
    assert gains[1][2] < gains[0][2]


def test_without_validation_the_default_is_taken(birds: Collection) -> None:
    label_birds(birds, 8)
    table = WindowTable(birds, birds.encoder())
    (solved,) = train(birds, table, ["wren"], validate=False).solved
    assert solved.validated.setting == Setting("logistic", 2.0)
    assert np.isnan(solved.validated.scores).all()


def test_the_report_is_one_page_with_players_inside(tmp_path: Path, model: str) -> None:
    root = tmp_path / "sounds"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        soundfile.write(root / f"{number}.wav", rng.normal(size=96_000) * 0.1, 96_000 if number == 7 else 16_000)
    with axlstm.collection.create(tmp_path / "c", root) as collection:
        collection.index([root], model=model, name="small", window_s=1.0, hop_s=1.0)
        for number in range(8):
            collection.label(f"{number}.wav", "<wren>", 0, 1)
            collection.label(f"{number}.wav", "<wren>", 1, 6 if number < 7 else 1, verdict="no") if number < 7 else None
        (root / "3.wav").unlink()
        collection.train("<wren>", tmp_path / "m")
    page = (tmp_path / "m" / "report.html").read_text(encoding="utf-8")
    assert "<wren>" not in page
    assert "&lt;wren&gt;" in page
    links = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert all(link.startswith(("data:", "#")) for link in links)
    players = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    assert players
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(players[0])))
    assert (len(samples), rate) == (16_000, 16_000)
    assert (tmp_path / "m" / "README.md").read_text(encoding="utf-8").startswith("# Classifier of <wren>")

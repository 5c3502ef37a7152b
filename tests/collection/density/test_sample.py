"""From a collection to windows that are judged, and on to densities by site and day."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axlstm.cli import main
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.collection import Collection
from axlstm.collection.density.densities import estimate_densities
from axlstm.collection.density.judging import find_rows
from axlstm.collection.density.plan import PLAN, Plan, read_plan
from axlstm.collection.density.sample import draw_sample
from axlstm.collection.labels.importing import import_labels
from axlstm.collection.search.table import WindowTable
from axlstm.collection.upkeep import compact, remove
from axlstm.errors import ConfigError, DamageError, DataError
from axlstm.seals import seal_object
from tests.collection.detections.made import make_classifier, of_entry
from tests.collection.vectors import add_part, add_recording, make_collection
from tests.shards.made import write_sound

Capture = pytest.CaptureFixture[str]
WINDOWS = 40  # of each recording, of 2 s every second


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    """Sixty recordings at two sites and on three days, and one of which neither is known."""
    rng = np.random.default_rng(0)
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds") as made:
        vectors = {}
        for number in range(61):
            known = {"metadata": {"site": "AB"[number % 2]}, "recorded_at": f"2024-05-0{1 + number % 3}T23:59:30"}
            path = f"{number:02d}.wav"
            recording = add_recording(made, path, WINDOWS + 1.0, **known if number else {})
            vectors[recording] = rng.normal(size=(WINDOWS, 8))
        add_part(made, made.encoders()[0], vectors, unused=2)
        yield made


@pytest.fixture
def classifier(collection: Collection) -> Classifier:
    return of_entry(replace(collection.encoders()[0], id=0), ("wren", "robin"))


def judge(folder: Path, out: Path) -> set[tuple[str, float]]:
    """Judge the windows of a sample: those that begin at a multiple of three seconds have a call."""
    with (folder / "windows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["verdict"] for row in rows} <= {"?"}
    calls = set()
    for row in rows:
        is_call = float(row["start_s"]) % 3 == 0
        row["verdict"] = "yes" if is_call else "no"
        calls |= {(row["path"], float(row["start_s"]))} if is_call else set()
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return calls


def test_from_windows_to_densities(
    collection: Collection, classifier: Classifier, tmp_path: Path, capsys: Capture
) -> None:
    classifier.save(tmp_path / "wren.model")
    folder, given = tmp_path / "wren.density", [str(tmp_path / "wren.model"), str(collection.folder)]
    assert main(["density", "sample", *given, "-o", str(folder), "--label", "wren", "--per-bin", "30"]) == 0
    told = capsys.readouterr().out
    assert "210 windows from 7 bins" in told
    assert f"axlstm label import {collection.folder} {folder / 'windows.csv'}" in told
    assert main(["label", "import", str(collection.folder), str(folder / "windows.csv")]) == 0
    assert "210 rows that are not judged (?) passed over" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"no window of bin 1, 2, .* is judged yet"):
        estimate_densities(collection, classifier, folder)
    calls = judge(folder, tmp_path / "judged.csv")
    import_labels(collection, [tmp_path / "judged.csv"])
    out = tmp_path / "density.csv"
    by = ["--by", "site", "--by", "day"]
    assert main(["density", "estimate", *given, str(folder), "-o", str(out), *by]) == 0
    told = capsys.readouterr().out
    assert "not judged" not in told
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole, *groups = rows
    assert (whole["site"], whole["day"], whole["windows"], whole["judged"]) == ("*", "*", "2440", "210")
    assert int(whole["heard"]) == len(calls)
    assert float(whole["low"]) < 14 / 40 < float(whole["high"])
    assert sum(int(row["windows"]) for row in groups) == 2440
    assert sum(int(row["judged"]) for row in groups) == 210
    found = {(row["site"], row["day"]): int(row["windows"]) for row in groups}
    assert found["", ""] == WINDOWS
    assert ("A", "2024-05-02") in found  # recordings of the first day go on after midnight
    assert {day for _, day in found} == {"", *(f"2024-05-0{day}" for day in range(1, 5))}
    assert f"all: {float(whole['density']):.4f}" not in told
    assert f"site *, day *: {float(whole['density']):.4f}" in told


def test_a_sample_does_not_depend_on_parts(collection: Collection, classifier: Classifier, tmp_path: Path) -> None:
    draw_sample(collection, classifier, tmp_path / "before", "robin")
    compact(collection)
    draw_sample(collection, classifier, tmp_path / "after", "robin")
    draw_sample(collection, classifier, tmp_path / "other", "robin", seed=1)
    before, after, other = (read_plan(tmp_path / name) for name in ("before", "after", "other"))
    assert before == after
    assert before.windows != other.windows


def test_what_is_judged_before_counts_and_what_is_gone_is_told(
    collection: Collection, classifier: Classifier, tmp_path: Path, capsys: Capture
) -> None:
    for number in range(61):  # a yes on all of a recording, and then a no on one of its windows
        collection.label(f"{number:02d}.wav", "wren", 0.0, WINDOWS + 1.0)
        collection.label(f"{number:02d}.wav", "wren", 3.0, 5.0, verdict="no")
        collection.label(f"{number:02d}.wav", "wren", 7.0, 9.0, verdict="unsure")
    summary = draw_sample(collection, classifier, tmp_path / "sample", "wren", per_bin=60)
    plan = read_plan(tmp_path / "sample")
    at = [window.start_s for window in plan.windows]
    assert summary.drawn - summary.judged == at.count(7.0)
    remove(collection, ["00.wav", "01.wav"])
    table = estimate_densities(collection, classifier, tmp_path / "sample")
    there = [window for window in plan.windows if window.path not in ("00.wav", "01.wav")]
    _, whole = table.rows[0]
    assert table.gone == len(plan.windows) - len(there)
    assert table.open == sum(window.start_s == 7.0 for window in there)
    assert whole.judged == len(there) - table.open
    assert whole.judged - whole.heard == sum(window.start_s == 3.0 for window in there)
    classifier.save(tmp_path / "wren.model")
    assert (
        main(["density", "estimate", *map(str, (tmp_path / "wren.model", collection.folder, tmp_path / "sample"))]) == 0
    )
    told = capsys.readouterr().out
    assert f"{table.open} of the drawn windows are not judged" in told
    assert f"{table.gone} of the drawn windows are not in the collection any more" in told


def test_a_copy_that_is_gone_is_not_found_as_the_other_one(
    collection: Collection, classifier: Classifier, tmp_path: Path
) -> None:
    with collection.transaction():
        collection.tables.execute("UPDATE recordings SET digest = 'same' WHERE path IN ('00.wav', '01.wav')")
    draw_sample(collection, classifier, tmp_path / "sample", "wren", per_bin=300)
    windows = read_plan(tmp_path / "sample").windows
    table = WindowTable(collection, collection.encoders()[0])
    assert len(set(find_rows(collection, table, windows).tolist())) == len(windows)
    there = {window.start_s for window in windows if window.path == "01.wav"}
    both = there & {window.start_s for window in windows if window.path == "00.wav"}
    assert both
    remove(collection, ["00.wav"])
    table = WindowTable(collection, collection.encoders()[0])
    rows = find_rows(collection, table, windows)
    assert (rows < 0).sum() == len(both)
    assert len(set(rows[rows >= 0].tolist())) == (rows >= 0).sum()
    with collection.transaction():  # moved: the other one's windows, and not those twice
        collection.tables.execute("UPDATE recordings SET path = 'moved.wav' WHERE path = '01.wav'")
    assert (find_rows(collection, table, windows) < 0).sum() == len(both)


def test_clips_lead_to_labels(tmp_path: Path, model: str) -> None:
    from axlstm.collection.collection import create

    for number in range(4):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 4.0, number)
    classifier = make_classifier(model, ("wren",), window_s=1.0, hop_s=1.0)
    with create(tmp_path / "birds.collection", tmp_path / "sounds") as collection:
        collection.index([tmp_path / "sounds"], model=model, window_s=1.0, hop_s=1.0)
        (tmp_path / "sounds" / "3.wav").unlink()
        summary = draw_sample(collection, classifier, tmp_path / "sample", per_bin=4, clips=True)
        clips = sorted((tmp_path / "sample" / "clips").glob("*.wav"))
        assert len(clips) + len(summary.missing) == summary.drawn
        assert all("3.wav" in told for told in summary.missing)
        for number, clip in enumerate(clips):
            folder = tmp_path / "sample" / "clips" / ("wren" if number % 2 else "-wren")
            folder.mkdir(exist_ok=True)
            shutil.move(clip, folder)
        import_labels(collection, [tmp_path / "sample" / "clips"])
        table = estimate_densities(collection, classifier, tmp_path / "sample", ["path"])
        assert table.rows[0][1].judged == len(clips)
        assert table.open == len(summary.missing)
        assert [values for values, _ in table.rows] == [("*",), *((f"{number}.wav",) for number in range(4))]


def test_windows_that_are_newer_than_the_draw_are_told(
    collection: Collection, classifier: Classifier, tmp_path: Path, capsys: Capture
) -> None:
    classifier.save(tmp_path / "wren.model")
    draw_sample(collection, classifier, tmp_path / "sample", "wren")
    judge(tmp_path / "sample", tmp_path / "judged.csv")
    import_labels(collection, [tmp_path / "judged.csv"])
    command = ["density", "estimate", *map(str, (tmp_path / "wren.model", collection.folder, tmp_path / "sample"))]
    assert main(command) == 0
    assert "after the draw" not in capsys.readouterr().out
    remove(collection, ["00.wav"])
    new = add_recording(collection, "new.wav", WINDOWS + 1.0)
    add_part(collection, collection.encoders()[0], {new: np.random.default_rng(1).normal(size=(WINDOWS, 8))})
    assert main(command) == 0
    assert f"{WINDOWS} windows of 1 recordings were indexed after the draw" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"label": None}, "several labels, and none was named; name one of wren, robin with --label"),
        ({"label": "jay"}, "no label 'jay'"),
        ({"label": "wren", "bins": 1}, "bins=1"),
        ({"label": "wren", "per_bin": 0}, "per_bin=0"),
    ],
)
def test_options_that_do_not_fit(
    collection: Collection, classifier: Classifier, tmp_path: Path, options: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        draw_sample(collection, classifier, tmp_path / "sample", **options)
    assert not (tmp_path / "sample").exists()


def test_another_classifier_and_unknown_columns_are_refused(
    collection: Collection, classifier: Classifier, tmp_path: Path
) -> None:
    draw_sample(collection, classifier, tmp_path / "sample", "wren")
    with pytest.raises(ConfigError, match="there already"):
        draw_sample(collection, classifier, tmp_path / "sample", "wren")
    with pytest.raises(ConfigError, match="another classifier"):
        estimate_densities(collection, replace(classifier, slope=np.array([1.0, 2.0])), tmp_path / "sample")
    with pytest.raises(
        ConfigError, match="no recording has a column 'habitat'; there are day, hour, path, device, site"
    ):
        estimate_densities(collection, classifier, tmp_path / "sample", ["habitat"])
    with pytest.raises(DataError, match=r"plan\.json is not there; axlstm density sample makes"):
        estimate_densities(collection, classifier, tmp_path)


def test_groups_by_hour(collection: Collection, classifier: Classifier, tmp_path: Path) -> None:
    draw_sample(collection, classifier, tmp_path / "sample", "wren")
    judge(tmp_path / "sample", tmp_path / "judged.csv")
    import_labels(collection, [tmp_path / "judged.csv"])
    table = estimate_densities(collection, classifier, tmp_path / "sample", ["hour"])
    assert {values: one.windows for values, one in table.rows[1:]} == {("",): 40, ("00",): 600, ("23",): 1800}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"edges": [0.5, 0.1]}, "edges of bins that are none"),
        ({"edges": [float("1e400")]}, "no number|edges of bins|JSON"),
        ({"windows": []}, "no windows"),
        ({"windows": [["a", "b", 0.0, 1.0, 99]]}, "a window that is none"),
        ({"windows": [["a", "b", 1.0, 0.0, 0]]}, "a window that is none"),
        ({"windows": [{}]}, "a window that is none"),
        ({"known": [1]}, "digests that are none"),
        ({"label": 3}, "label is 3"),
        ({"format": "else"}, "another file"),
    ],
)
def test_plans_that_nobody_wrote_are_refused(
    collection: Collection, classifier: Classifier, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    draw_sample(collection, classifier, tmp_path / "sample", "wren")
    path = tmp_path / "sample" / PLAN
    about = json.loads(path.read_bytes())
    path.write_text(json.dumps({**about, **change}), encoding="utf-8")
    with pytest.raises(DamageError, match="its checksum does not fit"):
        read_plan(tmp_path / "sample")
    del about["crc32"]
    path.write_text(json.dumps(seal_object({**about, **change})), encoding="utf-8")
    with pytest.raises(DamageError, match=told):
        read_plan(tmp_path / "sample")
    path.write_text(json.dumps(seal_object({**about, "version": 2})), encoding="utf-8")
    with pytest.raises(DataError, match="install a newer axlstm"):
        read_plan(tmp_path / "sample")
    assert isinstance(about["windows"], list)
    assert Plan.__dataclass_fields__.keys() <= about.keys()

"""The notebooks run from top to bottom in an empty folder, and give what they say."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def _execute(name: str, folder: Path) -> Any:
    """The cells of a notebook with their outputs, after a run in a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own packages about each other
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(EXAMPLES / name, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook.cells


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("notebook")
    return _execute("agile.ipynb", folder), folder


def _outputs(cells: Any, source: str) -> list[Any]:
    (cell,) = (cell for cell in cells if cell.cell_type == "code" and cell.source.endswith(source))
    return list(cell.outputs)


def _told(cells: Any) -> str:
    streams = [out for cell in cells if cell.cell_type == "code" for out in cell.outputs if out.output_type == "stream"]
    told = [out["text"] for out in streams if out["name"] == "stderr"]
    assert not [text for text in told if "building the font cache" not in text]  # matplotlib's, once on a machine
    return "".join(out["text"] for out in streams)


def test_hits_are_shown_and_played(executed: tuple[Any, Path]) -> None:
    cells, _ = executed
    (table,) = _outputs(cells, "\nhits")
    assert table["data"]["text/html"].count("<tr>") == 11
    (player,) = _outputs(cells, "hits.play(0)")
    assert "data:audio/wav;base64," in player["data"]["text/html"]


def test_the_classifier_finds_kicks_in_kits_that_it_was_not_trained_on(executed: tuple[Any, Path]) -> None:
    cells, folder = executed
    assert (folder / "kick.model" / "report.html").is_file()
    told = "".join(output["text"] for output in _outputs(cells, '*kick["average_precision"]))'))
    assert "by site" in told
    precision = float(told.split("average precision ")[1].split(",")[0])
    yes, no = map(int, re.findall(r"(\d+) (?:yes|no)", told))
    assert precision > yes / (yes + no) + 0.2  # the share of kicks: what chance gives
    tracks = list((folder / "kicks").rglob("*.txt"))
    assert tracks
    assert all("kick" in track.read_text() for track in tracks)


def test_nothing_goes_wrong_unseen(executed: tuple[Any, Path]) -> None:
    cells, _ = executed
    assert _told(cells)


def test_recordings_are_embedded_and_those_of_a_kind_found(tmp_path: Path) -> None:
    cells = _execute("embed.ipynb", tmp_path)
    told = _told(cells)
    assert re.search(r"speech_it_queue +is most like speech_ru", told)
    assert re.search(r"piano_Fs4 +is most like piano_C4", told)
    assert float(told.split("cosine to float32: ")[1]) > 0.999
    (picture,) = _outputs(cells, "pyplot.show()")
    assert picture["data"]["image/png"]


def test_encoders_are_compared_on_a_task_of_ones_own(tmp_path: Path) -> None:
    cells = _execute("evaluate.ipynb", tmp_path)
    told = _told(cells)
    scores = dict(re.findall(r"(\S+) +top1_acc (\S+)", told))
    assert scores.keys() == {"axlstm-tiny", "logmel"}
    assert all(0.33 < float(score) < 1 for score in scores.values())  # three kinds
    assert (tmp_path / "results/report/report.html").is_file()


def test_a_model_is_pretrained_and_used(tmp_path: Path) -> None:
    cells = _execute("pretrain.ipynb", tmp_path)
    told = _told(cells)
    loss, baseline = map(float, re.findall(r"validation loss (\S+); predicting the mean gives (\S+)", told)[0])
    assert loss < 0.9 * baseline
    (picture,) = _outputs(cells, "shown.figure")
    assert picture["data"]["image/png"]


def test_the_classes_of_transformers_do_what_the_notebook_says(tmp_path: Path) -> None:
    cells = _execute("huggingface.ipynb", tmp_path)
    streams = [out for cell in cells if cell.cell_type == "code" for out in cell.outputs if out.output_type == "stream"]
    told = "".join(out["text"] for out in streams if out["name"] == "stdout")
    assert float(told.split("difference to load_model: ")[1].split()[0]) <= 1e-6
    tuned, chance = (float(told.split(f"{name} ")[1][:4]) for name in ("fine-tuned", "chance"))
    assert tuned > chance + 0.15
    first, second = re.findall(r"\(?(0\.\d{3}|1\.000)\)?", told.split("the pipeline hears ")[1])
    assert float(first) == pytest.approx(float(second), abs=2e-3)

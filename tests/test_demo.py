"""The demo's page shows all that it promises, says what the weights are, and replaces an older one whole."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import axlstm
import axlstm.demo
from axlstm.checkpoints.own import Checkpoint
from axlstm.cli import main
from axlstm.demo import DemoConfig, recordings, run_demo
from axlstm.demo.probing import CLIP_SECONDS, Probes, probe_strokes
from axlstm.demo.recordings import nearest_neighbours
from axlstm.embed.embedder import Embedder
from axlstm.errors import ConfigError
from axlstm.samples import sample_paths, strokes
from axlstm.store.formats import read_records
from tests.conftest import run_without

QUICK = DemoConfig(steps=4, batch=2, probe_seeds=2)
VOID = {"meta", "img", "br", "hr", "link", "input", "source"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def attributes(self, tag: str, name: str) -> list[str]:
        return [value for there, attrs in self.tags if there == tag and (value := attrs.get(name)) is not None]


def small_embedder(trained: bool) -> Embedder:
    """One layer; the other word about its weights changes what is said, not what is computed."""
    made = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).checkpoint
    return Embedder(Checkpoint(made.model, made.frontend, made.training, "small", trained))


@pytest.fixture(scope="module")
def probed() -> list[Probes]:
    """The probes of the demo, for a second page: they take the longest."""
    return []


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory, probed: list[Probes]) -> Path:
    def probe_and_keep(*arguments: Any) -> Probes:
        probed.append(probe_strokes(*arguments))
        return probed[-1]

    out = tmp_path_factory.mktemp("demo")
    (out / "index.html").write_text("an older page")
    (out / ".work" / "shards").mkdir(parents=True)
    (out / ".work" / "shards" / "index.json").write_text("left by a run that was killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(axlstm.demo, "probe_strokes", probe_and_keep)
        run_demo(small_embedder(trained=False), "axlstm-tiny", out, QUICK)
    return out


@pytest.fixture(scope="module")
def page(demo_folder: Path) -> Page:
    return Page((demo_folder / "index.html").read_text(encoding="utf-8"))


def test_the_folder_holds_a_page_and_embeddings_and_nothing_else(demo_folder: Path) -> None:
    assert {path.name for path in demo_folder.iterdir()} == {"index.html", "samples.parquet", "samples.collection"}
    assert (demo_folder / "index.html").stat().st_size < 6_000_000
    records = list(read_records(demo_folder / "samples.parquet"))
    assert sorted(record.path for record in records) == sorted(map(str, sample_paths()))


def test_every_recording_has_a_player_a_picture_and_three_neighbours(page: Page) -> None:
    players = [base64.b64decode(source.partition("base64,")[2]) for source in page.attributes("audio", "src")]
    for path in sample_paths():
        assert path.read_bytes() in players
        assert f"log-mel and embeddings of {path.stem}" in page.attributes("img", "alt")
        assert path.stem in page.attributes("section", "id")
    links = Counter(target for target in page.attributes("a", "href") if target.startswith("#"))
    assert links.total() == 3 * len(sample_paths())
    assert {target[1:] for target in links} <= set(page.attributes("section", "id"))


def test_training_is_drawn_and_a_recording_is_reconstructed(page: Page) -> None:
    drawings = page.attributes("figure", "aria-label")
    assert "Training and validation loss over steps" in drawings
    assert re.search(r"4 steps of 2 crops of 2 s, from fresh weights", page.text)
    (held_out,) = re.findall(r"(\w+), which was held out above", page.text)
    assert f"input, masked input and prediction of {held_out}" in page.attributes("img", "alt")
    assert "the weights trained above for 4 steps" in page.text


def test_scores_stand_beside_the_baseline_with_intervals(page: Page) -> None:
    header, *rows = page.rows
    assert header[-2:] == ["accuracy", "95 % interval"]
    assert [row[0] for row in rows] == ["small", "trained-here", "logmel"]
    for *_, accuracy, interval in rows:
        low, high = map(float, interval.split(" to "))
        assert 0 < float(accuracy) <= 1
        assert low <= float(accuracy) <= high
    assert f"{len(strokes())} drum strokes of 4 kits, {CLIP_SECONDS:g} s each" in page.text
    assert {label for label in ("kick", "snare", "tom", "hi-hat", "cymbal") if label in page.text} == {
        stroke.label for stroke in strokes()
    }


def test_random_weights_are_said_to_be_random(page: Page) -> None:
    assert "The weights are random." in page.text
    assert "The weights of small are random." in page.text


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    for tag in ("script", "link", "iframe"):
        assert tag not in {there for there, _ in page.tags}
    loaded = [*page.attributes("img", "src"), *page.attributes("audio", "src"), *page.attributes("image", "xlink:href")]
    assert loaded
    assert all(source.startswith("data:") for source in loaded)


def test_commands_of_the_page_are_commands_of_the_package(page: Page) -> None:
    said = re.findall(r"^axlstm (hear \w+|\w+)", page.text.partition("1. Embeddings")[2], re.MULTILINE)
    assert said == ["embed", "plot", "prepare", "pretrain", "reconstruct", "hear make", "evaluate"]


def test_sounds_that_commands_name_are_those_that_the_page_says_how_to_get(page: Page, tmp_path: Path) -> None:
    (copy,) = re.findall(r"^python -c (.*)$", page.text, re.MULTILINE)
    subprocess.run([sys.executable, "-c", *shlex.split(copy)], check=True, cwd=tmp_path)
    named = re.findall(r"recordings/[\w.]+", page.text)
    assert len(named) >= 3
    assert [name for name in named if not (tmp_path / name).is_file()] == []


@pytest.mark.usefixtures("demo_folder")
def test_trained_weights_reconstruct_and_are_not_called_random(
    tmp_path: Path, probed: list[Probes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axlstm.demo, "probe_strokes", lambda *_: probed[0])
    page = Page(run_demo(small_embedder(trained=True), "my model", tmp_path, QUICK).read_text(encoding="utf-8"))
    assert "are random" not in page.text
    assert "The weights: small, trained" in page.text
    assert "what the weights small predict of it" in page.text
    assert re.search(r"axlstm reconstruct recordings/(\w+)\.\w+ -o \1.png --model 'my model'", page.text)


def test_interrupted_it_leaves_the_older_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    model = str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(tmp_path / "model"))
    out = tmp_path / "demo"
    out.mkdir()
    (out / "index.html").write_text("an older page")
    monkeypatch.setattr(recordings, "frames_figure", interrupted)
    assert main(["demo", "-o", str(out), "-m", model]) == 130
    error = capsys.readouterr().err
    assert "as it was before" in error
    assert "embed the recordings  " in error  # the progress, as stderr is no terminal
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert (out / "index.html").read_text() == "an older page"


@pytest.mark.parametrize("module", ["scipy", "matplotlib"])
def test_without_its_libraries_it_says_what_to_install(module: str, tmp_path: Path) -> None:
    done = run_without(module, "demo", "-o", str(tmp_path / "demo"))
    assert done.returncode == 1
    assert f'this needs {module}: pip install "axlstm[evaluate]"' in done.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"seed": -1}, {"probe_seeds": 1}])
def test_bad_settings_name_themselves(wrong: dict[str, int]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{name}={value}: expected at least"):
        DemoConfig(**wrong)


def test_neighbours_are_those_of_one_direction() -> None:
    scenes = np.array([[5, 1], [5, 2], [5, -1], [5, -3]], np.float32)
    nearest = nearest_neighbours(scenes, count=1)
    assert [row[0][0] for row in nearest] == [1, 0, 3, 2]
    assert nearest[0][0][1] == pytest.approx(1)

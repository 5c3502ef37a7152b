"""The guided tour of docs/architecture.md leads past everything that a call of embed runs through."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import axlstm
from axlstm.options import EngineName
from axlstm.samples import sample_path

SOURCES = Path(axlstm.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"


def section(title: str) -> str:
    (found,) = re.findall(rf"^### {title}\n(.*?)(?=^##)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return found


def stops(title: str) -> list[str]:
    """The files of a tour, in order."""
    return re.findall(r"^\d+\. `([\w/.]+)`", section(title), re.MULTILINE)


@contextmanager
def called_files() -> Iterator[set[str]]:
    """Collect the files of the package whose functions are called."""
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(SOURCES)) and frame.f_code.co_name != "<module>":
            files.add(str(Path(path).relative_to(SOURCES)))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


TITLES = [
    "One call of embed",
    "One training step",
    "One fine-tuning",
    "One task folder",
    "One collection",
    "One view of the page",
]


@pytest.mark.parametrize("title", TITLES)
def test_every_stop_is_there(title: str) -> None:
    assert stops(title)
    assert [stop for stop in stops(title) if not (SOURCES / stop).is_file()] == []


def test_the_way_to_an_embedding_is_short() -> None:
    files = stops("One call of embed")
    lines = sum(len((SOURCES / file).read_text().splitlines()) for file in files)
    assert len(files) <= 9
    assert lines <= 1_500


@pytest.mark.parametrize("engine", [None, "auto"])
def test_embed_runs_through_the_tour_and_what_it_names_aside(engine: EngineName | None) -> None:
    sound = sample_path("water_lock")
    axlstm.load_model("axlstm-tiny", engine=engine).embed(sound)  # so that imports are not taken for calls
    with called_files() as files:
        axlstm.load_model("axlstm-tiny", engine=engine).embed(sound)
    named = set(re.findall(r"`([\w/]+\.py)`", section("One call of embed")))
    assert files - named - {"__init__.py"} == set()
    assert engine is not None or set(stops("One call of embed")) <= files

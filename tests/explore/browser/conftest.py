"""A browser, and collections that are copied for each test: the real page over real sounds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from axlstm.collection.collection import create
from axlstm.collection.maps.draw import draw_map
from axlstm.collection.search.table import WindowTable
from axlstm.samples import sample_path, strokes
from tests.explore.browser.visits import serving

if TYPE_CHECKING:
    pass

SAMPLES = ("bird_call", "bird_song", "engine_rev", "water_river")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drum strokes, one folder a kit, and a few sounds that are none."""
    folder = tmp_path_factory.mktemp("heard") / "recordings"
    for stroke in strokes():
        (folder / stroke.group).mkdir(parents=True, exist_ok=True)
        shutil.copy(stroke.path, folder / stroke.group)
    for name in SAMPLES:
        shutil.copy(sample_path(name), folder)
    return folder


@pytest.fixture(scope="session")
def indexed(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of these sounds, with sites, and with its map."""
    folder = tmp_path_factory.mktemp("indexed")
    rows = ["path,site", *(f"{kit.name},{kit.name}" for kit in sounds.iterdir() if kit.is_dir())]
    (folder / "sites.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    made = folder / "drums.collection"
    with create(made, sounds) as collection:
        collection.index([sounds], model="logmel", window_s=1, metadata=folder / "sites.csv")
        draw_map(collection, WindowTable(collection, collection.encoder()))
    return made


@pytest.fixture(scope="session")
def link(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a copy of the collection, for tests that do not mind what others label."""
    with serving(str(shutil.copytree(indexed, tmp_path_factory.mktemp("shared") / "drums.collection"))) as link:
        yield link


@pytest.fixture
def drums(indexed: Path, tmp_path: Path) -> Path:
    """A copy of the collection that a test may change."""
    return Path(shutil.copytree(indexed, tmp_path / "drums.collection"))

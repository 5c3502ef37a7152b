"""A collection of the bundled recordings, indexed with log-mel statistics, and its server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.explore.app import make_app
from axlstm.explore.desk import Desk
from axlstm.explore.guard import Address
from axlstm.samples import sample_paths

TOKEN = "t" * 32
ADDRESS = Address("127.0.0.1", 8765)
HOME = "http://127.0.0.1:8765"


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings and their collection, which nobody changes."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "sounds" / "garden").mkdir(parents=True)
    for path in sample_paths():
        below = "garden" if path.name.startswith("bird") else "."
        shutil.copy(path, folder / "sounds" / below)
    (folder / "sites.csv").write_text(
        "path,site,recorded_at\ngarden,<b>garden</b>,2024-05-01T04:59:59\n", encoding="utf-8"
    )
    with create(folder / "all.collection", folder / "sounds") as made:
        made.index([folder / "sounds"], model="logmel", window_s=1, metadata=folder / "sites.csv")
    return folder


@pytest.fixture
def place(indexed: Path, tmp_path: Path) -> Path:
    """A copy of them, to be changed: ``sounds`` and ``birds.collection``."""
    shutil.copytree(indexed / "sounds", tmp_path / "sounds")
    shutil.copytree(indexed / "all.collection", tmp_path / "birds.collection")
    with open_collection(tmp_path / "birds.collection") as copied, copied.transaction():
        copied.tables.execute("UPDATE settings SET value = ? WHERE name = 'root'", (str(tmp_path / "sounds"),))
    return tmp_path


@pytest.fixture
def desk(place: Path) -> Desk:
    return Desk(place / "birds.collection", author="ann")


@pytest.fixture
def page(desk: Desk) -> Iterator[TestClient]:
    """A client with the token; the server ends with the test."""
    with TestClient(make_app(desk, TOKEN, ADDRESS), base_url=HOME, headers={"Authorization": f"Bearer {TOKEN}"}) as one:
        yield one


@pytest.fixture
def stranger(desk: Desk) -> Iterator[TestClient]:
    """A client without the token."""
    with TestClient(make_app(desk, TOKEN, ADDRESS), base_url=HOME, follow_redirects=False) as one:
        yield one

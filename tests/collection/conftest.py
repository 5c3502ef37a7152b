"""A model, sounds, and an empty collection for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from axlstm.collection.collection import Collection, create
from tests.collection.made import make_sounds, save_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("model") / "small").resolve())


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return make_sounds(tmp_path / "sounds")


@pytest.fixture
def collection(tmp_path: Path, sounds: Path) -> Iterator[Collection]:
    with create(tmp_path / "birds.collection", sounds) as made:
        yield made

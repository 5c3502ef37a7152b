"""A folder of the recipe's work, made of made sounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from recipes.open_audio.fetch import Work, fetch_packages
from recipes.open_audio.manifest import build_manifest
from recipes.open_audio.tests.made import packages_of_every_kind, quiet

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # one worker a core: more threads would only wait for each other


@pytest.fixture
def work(tmp_path: Path) -> Work:
    packages, registry = packages_of_every_kind()
    place = Work(tmp_path / "work")
    fetch_packages(packages, place, {"npm": registry}, quiet)
    build_manifest(packages, place, quiet)
    return place

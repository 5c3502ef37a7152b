"""A folder of the recipe's work, made of made sounds."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from axlstm.engines.kept import FOLDER_VARIABLE
from recipes.open_audio.fetch import Work, fetch_packages
from recipes.open_audio.manifest import build_manifest
from recipes.open_audio.tests.made import packages_of_every_kind, quiet

if FOLDER_VARIABLE not in os.environ:  # compiled graphs of tests go where no user's are
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="axlstm-graphs-")
    atexit.register(shutil.rmtree, os.environ[FOLDER_VARIABLE], ignore_errors=True)
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # one worker a core: more threads would only wait for each other


@pytest.fixture
def work(tmp_path: Path) -> Work:
    packages, registry = packages_of_every_kind()
    place = Work(tmp_path / "work")
    fetch_packages(packages, place, {"npm": registry}, quiet)
    build_manifest(packages, place, quiet)
    return place

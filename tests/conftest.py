"""What many tests need: the reference outputs, and models filled with the weights they were made with."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.checkpoints.own import Checkpoint, build_model
from axlstm.checkpoints.published import from_published, infer_config
from axlstm.engines.kept import FOLDER_VARIABLE
from tests.browsers import browser
from tests.seeded import seeded

__all__ = ["browser"]

if FOLDER_VARIABLE not in os.environ:  # compiled graphs of tests go where no user's are, and workers share them
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="axlstm-graphs-")
    atexit.register(shutil.rmtree, os.environ[FOLDER_VARIABLE], ignore_errors=True)
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # one worker a core: more threads would only wait for each other

INTERPRETED = find_spec("triton") is not None and not torch.cuda.is_available()
if INTERPRETED:  # asked for before Triton is imported, as transformers does
    os.environ.setdefault("TRITON_INTERPRET", "1")

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden"
PUBLISHED_TINY = ("axlstm_tiny_200_16x4", "ssast_tiny_200_16x4")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests the time that they take."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


def run_without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command ``axlstm ARGUMENTS`` where a module is not installed."""
    code = f"import sys; sys.modules[{module!r}] = None\nfrom axlstm.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread: forks have no other, and small work beside other tests gains nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def published_shapes() -> dict:
    return json.loads((GOLDEN / "state_dict_shapes.json").read_text())


@pytest.fixture(scope="session")
def published_tensors(published_shapes: dict) -> Callable[[str], dict[str, torch.Tensor]]:
    def make(name: str) -> dict[str, torch.Tensor]:
        return {key: torch.from_numpy(seeded(key, tuple(shape))) for key, shape in published_shapes[name].items()}

    return make


@pytest.fixture
def seeded_checkpoint(published_tensors: Callable) -> Callable[[str], Checkpoint]:
    """A fresh model with the reference weights, by published name."""

    def make(name: str) -> Checkpoint:
        tensors = published_tensors(name)
        config = infer_config({key: tuple(value.shape) for key, value in tensors.items()}, name)
        return Checkpoint(build_model(config, from_published(tensors, config), name), name=name)

    return make

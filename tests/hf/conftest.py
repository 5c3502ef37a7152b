"""Small models as folders, and a small run of fine-tuning, for the classes of transformers to load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import axlstm
from axlstm.finetuning.config import HeadConfig
from tests.finetuning.made import make_clips, save_small_model, small_config, sound
from tests.seeded import audio

SECONDS = (0.3, 2.0, 0.57, 1.0, 0.025)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each family."""
    folder = tmp_path_factory.mktemp("models")
    families = ("axlstm", "ssast")
    return {family: save_small_model(folder / family, family=family) for family in families}


@pytest.fixture
def folder(folders: dict[str, Path]) -> Path:
    return folders["axlstm"]


@pytest.fixture(scope="session")
def clips() -> list[NDArray[np.float32]]:
    """Clips of unequal lengths: of a part of a window, of several, of one STFT window."""
    return [audio(seconds, number) for number, seconds in enumerate(SECONDS)]


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of three labels that are easily told apart, in folders by label."""
    folder = tmp_path_factory.mktemp("labelled")
    make_clips(folder)
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> dict[str, Path]:
    """The folder of a fine-tuning with each pooling of frames."""
    folder = tmp_path_factory.mktemp("runs")
    base = save_small_model(folder / "base")
    for pooling in ("mean", "mean+deviation", "attention"):
        config = small_config(1, head=HeadConfig(pooling=pooling))
        axlstm.finetune(base, labelled, folder / pooling, config)
    return {pooling: folder / pooling for pooling in ("mean", "mean+deviation", "attention")}


@pytest.fixture(scope="session")
def sounds() -> list[NDArray[np.float32]]:
    """One clip of each label, of unequal lengths."""
    return [sound("high", 0.5, 1), sound("low", 1.3, 2), sound("noise", 0.31, 3)]

"""A small model, and clips of three kinds of sound from eight places, which it can tell apart."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.finetuning.made import make_clips, save_small_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_model(tmp_path_factory.mktemp("base") / "small")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``table.csv`` of 24 clips of three labels, with eight groups; the folders are named by label."""
    folder = tmp_path_factory.mktemp("clips")
    rows = make_clips(folder)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    return folder

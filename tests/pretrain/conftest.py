from __future__ import annotations

from pathlib import Path

import pytest

from tests.pretrain.runs import make_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 records for training in three shards, and 5 held out."""
    return make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture
def float16_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a CPU train in float16, which it is too slow for in use: the loss scaler works there as on a GPU."""
    monkeypatch.setattr("axlstm.pretrain.loop.find_precision", lambda name, _: name)

from __future__ import annotations

from pathlib import Path

import pytest

from axlstm.teach import teach
from tests.pretrain.runs import make_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 records for training in three shards, and 5 held out."""
    return make_shards(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def taught(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of all records, whose frames tell the loudness."""
    out = tmp_path_factory.mktemp("clock")
    teach(shards, str(Path(__file__).parents[1] / "shards" / "stub_teacher.py"), out)
    return out


@pytest.fixture
def float16_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a CPU train in float16, which it is too slow for in use: the loss scaler works there as on a GPU."""
    monkeypatch.setattr("axlstm.training.loop.find_precision", lambda name, _: name)

"""Processes that are forked from one that has computed, and scripts without a main guard: no hang, and no riddle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from axlstm.samples import sample_path

MODEL = """
import os, sys, multiprocessing, numpy as np, torch, axlstm
from concurrent.futures import ProcessPoolExecutor
torch.set_num_threads(2)
WAVE = np.random.default_rng(0).standard_normal(16_000 * 20).astype(np.float32) / 10
def frames(_):
    return model.embed(WAVE, 16_000).frames
def check(found):
    np.testing.assert_allclose(found, expected, atol=1e-4)
if __name__ == "__main__":
    model = axlstm.create_model("axlstm-tiny", depth=2, width=32, heads=2, engine=ENGINE)
    expected = frames(0)  # torch and we have threads from here on
    fork = multiprocessing.get_context("fork")
"""
FORKS = {
    "Pool": """
    with fork.Pool(2) as pool:
        for found in pool.map(frames, range(3)):
            check(found)
""",
    "ProcessPoolExecutor": """
    with ProcessPoolExecutor(2, fork) as pool:
        for found in pool.map(frames, range(3)):
            check(found)
""",
    "os.fork": """
    child = os.fork()
    check(frames(0))  # in both
    if child:
        assert os.waitpid(child, 0)[1] == 0
""",
    "a fork of a fork": """
    child = os.fork()
    grandchild = 0 if child else os.fork()
    check(frames(0))
    for one in filter(None, (child, grandchild)):
        assert os.waitpid(one, 0)[1] == 0
""",
    "a fork that loads a model itself": """
    child = os.fork()
    if child == 0:
        model = axlstm.create_model("axlstm-tiny", depth=2, width=32, heads=2, engine=ENGINE)
    check(frames(0))
    if child:
        assert os.waitpid(child, 0)[1] == 0
""",
}
REFUSED = """
    child = os.fork()
    if child == 0:
        try:
            frames(0)
        except axlstm.ConfigError as error:
            assert "forked from one that had loaded it" in str(error), error
            try:
                axlstm.create_model("axlstm-tiny", depth=1, width=32, heads=2, engine="openvino")
            except axlstm.ConfigError as error:
                assert "forked from one that had loaded it" in str(error), error
            else:
                os._exit(4)
            os._exit(3)  # OpenVINO does not survive the end of a fork either
    check(frames(0))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""


def run_script(folder: Path, content: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does, for at most a minute."""
    script = folder / "script.py"
    script.write_text(content, encoding="utf-8")
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("engine", [None, "processes", "auto"])
@pytest.mark.parametrize("kind", FORKS)
def test_a_fork_computes_the_same(kind: str, engine: str | None, tmp_path: Path) -> None:
    done = run_script(tmp_path, (MODEL + FORKS[kind]).replace("ENGINE", repr(engine)))
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_engine_that_cannot_compute_in_a_fork_says_so(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    done = run_script(tmp_path, MODEL.replace("ENGINE", repr("openvino")) + REFUSED)
    assert done.returncode == 0, done.stderr


UNGUARDED = {
    "prepare": """
import sys
from pathlib import Path
from axlstm.data.prepare import prepare
prepare([Path(sys.argv[1])], Path("shards"), processes=2)
""",
    "engine": """
import sys, axlstm
model = axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2, engine="processes")
model.embed(sys.argv[1] + "/water_river.flac")
""",
    "reading workers": """
import multiprocessing, sys
from pathlib import Path
from axlstm.data.order import BatchPlan
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader, micro_batches
from axlstm.data.shards import open_shards
from axlstm.model.config import ModelConfig
multiprocessing.set_start_method("spawn", force=True)
prepare([Path(sys.argv[1])], Path("shards"), processes=1)
shards = open_shards(Path("shards"))
plan = BatchPlan(tuple(shards.starts.tolist()), 2, 0, 100)
list(micro_batches(CropReader(shards, ModelConfig(), 0), plan, first_step=0, last_step=2, workers=1))
""",
}


@pytest.mark.parametrize("kind", UNGUARDED)
def test_a_missing_main_guard_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = sample_path("water_river").parent
    script = UNGUARDED[kind].replace("water_river.flac", sample_path("water_river").name)
    done = run_script(tmp_path, script, str(folder))
    assert done.returncode == 1
    # Where the machine is slow, Python's own resource tracker may have a word after ours.
    last = [line for line in done.stderr.strip().splitlines() if "resource_tracker" not in line][-1]
    assert "could " in last
    assert "start: a worker process imports the script that started it" in last
    assert 'below `if __name__ == "__main__":`' in last
    if kind == "reading workers":
        return
    body = "\n".join(f"    {line}" for line in script.splitlines())
    assert run_script(tmp_path, f'if __name__ == "__main__":\n{body}', str(folder)).returncode == 0


def test_a_killed_worker_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = """
import os, sys
from pathlib import Path
import axlstm.data.prepare as module
def die(*_):
    os._exit(9)
if __name__ == "__main__":
    module._process = die
    module.prepare([Path(sys.argv[1])], Path("shards"), processes=2)
"""
    done = run_script(tmp_path, script, str(sample_path("water_river").parent))
    assert "a worker process was killed, perhaps for want of memory" in done.stderr.strip().splitlines()[-1]

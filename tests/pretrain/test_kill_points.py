"""A run killed at any change to its folder, and started again, leaves what an undisturbed one leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from axlstm.pretrain.config import PretrainLogConfig, ValidationConfig
from axlstm.training.config import CheckpointConfig
from tests.pretrain.runs import small_config

# Runs the same training many times, each in a fork that ends at another change to its folder, and then once more.
_CODE = """
import json, logging, os, re, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from axlstm.pretrain.config import PretrainConfig
from axlstm.pretrain.loop import pretrain
logging.disable()
config, data, root = PretrainConfig.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
CHANGES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "tempfile.mkstemp", "tempfile.mkdtemp"}

def train(workdir, last=None):
    '''In a fork: whether it ended by itself, and the changes it had made to its folder by then.'''
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as told:
            changes = told.read().splitlines()
        return os.waitpid(child, 0)[1] == 0, changes
    count = 0
    def note(event, arguments):
        nonlocal count
        if event in CHANGES and any(str(workdir) in str(argument) for argument in arguments):
            if count == last:
                os._exit(9)
            count += 1
            name = str(arguments[0]).removeprefix(str(workdir))
            os.write(writing, f"{event} {name}\\n".encode())
    sys.addaudithook(note)
    pretrain(config, data, workdir)
    os._exit(0)

def left(workdir):
    content = {}
    for path in sorted(workdir.rglob("*")):
        name = path.relative_to(workdir).as_posix()
        if path.is_file() and not name.startswith("lock"):
            content[name] = path.stat().st_size if path.suffix == ".png" else 0
    for place in (".", "best"):
        content["step of " + place] = json.loads((workdir / place / "config.json").read_text())["training"]["step"]
    return content

pretrain(config, data, root / "first")  # imports all that the forks would import one by one
ended, changes = train(root / "whole")
assert ended
expected = left(root / "whole")
naming = [n for n, change in enumerate(changes) if re.fullmatch("os.rename /checkpoints/.part-[^/]*", change)]
points = range(0 if sys.argv[4] == "all" else naming[-1] - 2, len(changes))
bad = []
for point in points:
    workdir = root / str(point)
    killed = not train(workdir, point)[0]
    again = train(workdir)[0]
    if not (killed and again and left(workdir) == expected):
        bad.append((point, changes[point], killed, again, sorted(set(left(workdir).items()) ^ set(expected.items()))))
print(json.dumps({"points": len(points), "bad": bad, "expected": sorted(expected)}))
"""


def _run(shards: Path, folder: Path, points: str) -> dict:
    config = small_config(
        3,
        validation=ValidationConfig(every_steps=1),
        checkpoints=CheckpointConfig(every_steps=1, keep_last=1),
        log=PretrainLogConfig(every_steps=1, pictures_every_steps=1000),
    )
    arguments = [sys.executable, "-c", _CODE, json.dumps(config.to_dict()), str(shards), str(folder), points]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("points", ["last", pytest.param("all", marks=pytest.mark.slow)])
def test_a_run_killed_at_any_change_is_whole_when_it_is_started_again(shards, tmp_path, points):
    """The last points lie around the last checkpoint: its folder's name, its publication, what is dropped."""
    result = _run(shards, tmp_path, points)
    assert result["bad"] == []
    assert result["points"] >= (10 if points == "last" else 60)
    assert "reconstructions/step-000000003.png" in result["expected"]

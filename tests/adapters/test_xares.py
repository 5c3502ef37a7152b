"""X-ARES' own checker and runner take our encoder and a task that we wrote, offline."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.adapters.xares import XaresEncoder, write_xares_task
from axlstm.errors import ConfigError
from axlstm.evaluate.tasks.make import TaskRecipe, make_task
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.samples import strokes_table
from tests.evaluate.made_task import make_scene_task

needs_xares = pytest.mark.skipif(find_spec("xares") is None, reason="needs X-ARES: see docs/adapters.md")

# torchaudio.load needs torchcodec since 2.9, and that FFmpeg's libraries. Where they are missing, soundfile reads.
ENCODER = """
import soundfile, torch, torchaudio
from axlstm.adapters.xares import XaresEncoder

def load(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T), rate

torchaudio.load = load
"""


@pytest.fixture(scope="module")
def encoder() -> XaresEncoder:
    return XaresEncoder("axlstm-tiny", engine=None)


@pytest.fixture(scope="module")
def drums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_task(strokes_table(), tmp_path_factory.mktemp("tasks"), TaskRecipe("drums", folds=3)).path


def test_frames_are_those_of_an_embedder(encoder: XaresEncoder) -> None:
    assert (encoder.sampling_rate, encoder.output_dim, encoder.hop_size_in_ms) == (16_000, 960, 40.0)
    audio = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 50_000)).astype(np.float32))
    frames = encoder(audio)
    assert frames.shape == (2, 78, 960)
    alone = axlstm.load_model("axlstm-tiny", engine=None).embed(audio[1], 16_000).frames
    np.testing.assert_allclose(frames[1], alone, atol=1e-5)


def test_an_embedder_has_its_options(encoder: XaresEncoder) -> None:
    with pytest.raises(ConfigError, match="layers: an embedder has its options already"):
        XaresEncoder(encoder.embedder, layers=3)


def test_a_task_is_written_whole(drums: Path, tmp_path: Path) -> None:
    write_xares_task(drums, tmp_path)
    folds = sorted(drums.glob("fold*.json"))
    assert (tmp_path / "drums/.audio_tar_ready").is_file()
    for fold in folds:
        labels = json.loads(fold.read_text())
        with tarfile.open(tmp_path / f"drums/wds-audio-fold-{fold.stem}-000000.tar") as tar:
            members = {name: tar.extractfile(name).read() for name in tar.getnames()}
        clips = [json.loads(content) for name, content in members.items() if name.endswith(".json")]
        assert {clip["file"]: [clip["label"]] for clip in clips} == labels
        for name, content in members.items():
            if name.endswith(".wav"):
                clip = json.loads(members[name.replace(".wav", ".json")])
                assert content == (drums / "16000" / fold.stem / clip["file"]).read_bytes()


def test_the_same_task_gives_the_same_bytes(drums: Path, tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_xares_task(drums, tmp_path / place)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / place / "drums").iterdir()} for place in ("one", "two")
    )
    assert one == two


def test_a_task_of_another_kind_is_refused(tmp_path: Path) -> None:
    task = make_scene_task(tmp_path / "many", {"train": 4, "valid": 4, "test": 4}, multilabel=True)
    for split in ("train", "valid", "test"):
        (task / f"{split}.json").write_text(json.dumps({"a.wav": ["c0", "c1"]}))
    with pytest.raises(TaskError, match="kind scene, multilabel: expected clips with one label each"):
        write_xares_task(task, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@needs_xares
def test_its_checker_accepts_the_encoder(encoder: XaresEncoder) -> None:
    from xares.audio_encoder_checker import check_audio_encoder

    assert check_audio_encoder(encoder)


@needs_xares
def test_its_runner_scores_a_task_of_ours(drums: Path, tmp_path: Path) -> None:
    write_xares_task(drums, tmp_path)
    (tmp_path / "axlstm_encoder.py").write_text(ENCODER)
    command = [sys.executable, "-m", "xares.run", "axlstm_encoder.py", "drums_task.py", "--max-jobs", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    row = re.search(r"^ *drums +([\d.]+) +([\d.]+)", done.stdout, re.MULTILINE)
    assert row is not None, done.stdout
    clips = [label for fold in drums.glob("fold*.json") for (label,) in json.loads(fold.read_text()).values()]
    assert float(row[1]) > 1 / len(set(clips))  # a network that ten epochs of two batches train
    assert float(row[2]) > Counter(clips).most_common(1)[0][1] / len(clips)

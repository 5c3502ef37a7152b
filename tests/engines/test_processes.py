"""The encoder in processes of its own gives the numbers of torch in this one."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
import axlstm.hear
from axlstm.cli import main
from axlstm.errors import ConfigError
from axlstm.evaluate.embedding.encoders import Encoder
from axlstm.samples import sample_paths
from axlstm.store.formats import read_records
from tests.seeded import audio

SMALL = {"depth": 2, "width": 32, "heads": 2}


@pytest.mark.parametrize(("dtype", "layers"), [("float32", None), ("bfloat16", (1, 2))])
def test_processes_give_torchs_numbers(dtype: str, layers: tuple[int, ...] | None) -> None:
    options = {"dtype": dtype, "layers": layers, "layout": "published", **SMALL}
    here, there = (axlstm.create_model("axlstm-tiny", engine=engine, **options) for engine in (None, "processes"))
    clips = [audio(seconds, seed) for seed, seconds in enumerate((0.5, 2.0, 9.3))]
    for ours, theirs in zip(there.embed_batch(clips, 16_000), here.embed_batch(clips, 16_000), strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
    assert there.fingerprint == here.fingerprint


def test_processes_end_with_their_embedder() -> None:
    before = set(multiprocessing.active_children())
    embedder = axlstm.create_model("axlstm-tiny", engine="processes", **SMALL)
    embedder.embed(audio(1.0, 0), 16_000)
    own = set(multiprocessing.active_children()) - before
    assert own
    del embedder
    gc.collect()
    for process in own:  # not is_alive(): the pool's own thread may take the exit status first
        assert wait([process.sentinel], timeout=60)


def test_a_process_that_is_killed_is_an_error_that_says_so() -> None:
    embedder = axlstm.create_model("axlstm-tiny", engine="processes", **SMALL)
    clip = audio(1.0, 0)
    embedder.embed(clip, 16_000)
    for process in multiprocessing.active_children():
        if process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ConfigError, match="a process was ended; memory may have run out"):
        embedder.embed(clip, 16_000)


def test_the_command_line_takes_processes(tmp_path: Path) -> None:
    model = axlstm.create_model("axlstm-tiny", **SMALL)
    model.save_pretrained(tmp_path / "model")
    out = tmp_path / "e.npz"
    sounds = [str(path) for path in sample_paths()[:3]]
    assert main(["embed", *sounds, "-o", str(out), "-m", str(tmp_path / "model"), "--engine", "processes"]) == 0
    found = {record.path: record.scene for record in read_records(out)}
    for sound in sounds:
        np.testing.assert_allclose(found[sound], model.embed(sound).scene, atol=1e-6)


@pytest.mark.device
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_processes_are_for_the_cpu() -> None:
    with pytest.raises(ConfigError, match="computes on the CPU"):
        axlstm.create_model("axlstm-tiny", engine="processes", device="cuda", **SMALL)


def test_an_engine_has_the_parameters_of_its_model() -> None:
    embedder = axlstm.create_model("axlstm-tiny", engine="processes", **SMALL)
    plain = axlstm.create_model("axlstm-tiny", **SMALL)
    encoders = [Encoder("tiny", "tiny", axlstm.hear, each) for each in (plain, embedder)]
    assert [each.parameters for each in encoders] == [sum(p.numel() for p in plain.parameters())] * 2


def test_an_embedder_with_an_engine_is_exported(tmp_path: Path) -> None:
    options = {"layers": [1], "pooling": "mean+deviation", **SMALL}
    agreement = axlstm.create_model("axlstm-tiny", engine="processes", **options).export(tmp_path / "model.onnx")
    assert agreement.holds
    clip = audio(2.0, 0)
    expected = axlstm.create_model("axlstm-tiny", **options).embed(clip, 16_000).scene
    exported = axlstm.ExportedModel(tmp_path / "model.onnx").embed(clip, 16_000).scene[0]
    np.testing.assert_allclose(exported, expected, rtol=0, atol=1e-4)

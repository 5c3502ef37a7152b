"""Weights that are edited in place are seen by embed, fingerprint and save_pretrained alike, or the edit is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import axlstm
from axlstm.errors import ConfigError
from tests.seeded import audio

RATE = 16_000
SMALL = {"depth": 2, "width": 64, "heads": 2}


def in_place(weight: Tensor) -> None:
    weight.mul_(1.5)


def behind_the_version_counter(weight: Tensor) -> None:
    weight.data.mul_(1.5)


def through_numpy(weight: Tensor) -> None:
    as_integers = weight.detach().view(torch.int16 if weight.itemsize == 2 else torch.int32).numpy()
    as_integers ^= as_integers.dtype.type(1 << (12 if weight.itemsize == 2 else 25))


def by_assignment(weight: Tensor) -> None:
    weight.data = weight.data * 1.5


def of_its_storage(weight: Tensor) -> None:
    weight.untyped_storage().copy_((weight * 1.5).untyped_storage())


EDITS = [in_place, behind_the_version_counter, through_numpy, by_assignment, of_its_storage]
WEIGHTS = [
    "blocks.0.layer.q.weight",
    "blocks.1.layer.forget_gate.bias",
    "blocks.1.layer.skip",
    "patches.projection.weight",
]


def weight_of(embedder: axlstm.Embedder, name: str) -> Tensor:
    return embedder.model.encoder.get_parameter(name)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("edit", EDITS)
def test_edits_reach_embeddings_fingerprint_and_file(edit: Callable[[Tensor], None], name: str, tmp_path: Path) -> None:
    embedder = axlstm.create_model("axlstm-tiny", **SMALL)
    clip = audio(2.0, 0)
    before, fingerprint = embedder.embed(clip, RATE).frames, embedder.fingerprint
    edit(weight_of(embedder, name))
    after = embedder.embed(clip, RATE).frames
    assert not np.array_equal(after, before)
    assert embedder.fingerprint != fingerprint
    again = axlstm.load_model(embedder.save_pretrained(tmp_path / "saved"), engine=None)
    np.testing.assert_array_equal(again.embed(clip, RATE).frames, after)
    assert again.fingerprint == embedder.fingerprint


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("edit", EDITS)
def test_edits_of_rounded_weights_are_seen_and_not_saved(
    edit: Callable[[Tensor], None], dtype: str, tmp_path: Path
) -> None:
    embedder = axlstm.create_model("axlstm-tiny", dtype=dtype, **SMALL)
    clip = audio(2.0, 0)
    before, fingerprint = embedder.embed(clip, RATE).frames, embedder.fingerprint
    edit(weight_of(embedder, WEIGHTS[0]))
    assert not np.array_equal(embedder.embed(clip, RATE).frames, before)
    assert embedder.fingerprint != fingerprint
    with pytest.raises(ConfigError, match=rf"layer.q.weight was edited in torch.{dtype}.*dtype=\"float32\""):
        embedder.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("engine", ["processes", "openvino", "onnxruntime"])
def test_an_engine_has_the_weights_to_itself(engine: str, tmp_path: Path) -> None:
    embedder = axlstm.create_model("axlstm-tiny", engine=engine, **SMALL)
    assert not list(embedder.parameters())
    with pytest.raises(ConfigError, match=f"engine='{engine}' has taken the weights over: edit those of an embedder"):
        embedder.model.encoder.norm.weight.data.mul_(2)
    plain = axlstm.create_model("axlstm-tiny", **SMALL)
    again = axlstm.load_model(embedder.save_pretrained(tmp_path / "saved"), engine=None)
    assert again.fingerprint == plain.fingerprint


def test_a_stream_follows_edits_too() -> None:
    embedder = axlstm.create_model("axlstm-tiny", **SMALL)
    clip = audio(4.0, 0)
    before = [block.frames for block in embedder.embed_stream(clip, RATE)]
    embedder.model.encoder.blocks[0].layer.v.weight.data.mul_(2)
    after = [block.frames for block in embedder.embed_stream(clip, RATE)]
    assert not np.array_equal(np.concatenate(before), np.concatenate(after))
    np.testing.assert_allclose(np.concatenate(after), embedder.embed(clip, RATE).frames, atol=2e-4)


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}, {"engine": "processes"}, {"engine": "auto"}])
@pytest.mark.parametrize("is_copied", [False, True], ids=["itself", "a copy of it"])
def test_edits_of_its_checkpoint_are_seen_by_all_or_by_none(options: dict, is_copied: bool, tmp_path: Path) -> None:
    if is_copied and options.get("engine") == "processes":
        pytest.skip("processes are not copied")
    embedder = axlstm.create_model("axlstm-tiny", **SMALL, **options)
    embedder = copy.deepcopy(embedder) if is_copied else embedder
    clip = audio(1.0, 0)
    before, fingerprint = embedder.embed(clip, RATE).frames, embedder.fingerprint
    with torch.no_grad():
        for weight in embedder.checkpoint.model.parameters():
            weight.mul_(1.5)
    has_changed = np.abs(embedder.embed(clip, RATE).frames - before).max() > 0.01
    assert has_changed == (options in ({}, {"engine": "auto"}))
    assert (embedder.fingerprint != fingerprint) == has_changed
    saved = axlstm.load_model(embedder.save_pretrained(tmp_path / "saved"), engine=None)
    exact = axlstm.create_model("axlstm-tiny", **SMALL).embed(clip, RATE).frames
    assert (np.abs(saved.embed(clip, RATE).frames - exact).max() > 0.01) == has_changed


def test_edits_of_a_twin_in_torch_stay_there() -> None:
    embedder = axlstm.create_model("axlstm-tiny", **SMALL, engine="auto")
    before = embedder.embed(audio(1.0, 0), RATE).frames
    twin = embedder.in_torch()
    with torch.no_grad():
        for weight in twin.model.parameters():
            weight.mul_(1.5)
    np.testing.assert_allclose(embedder.in_torch().embed(audio(1.0, 0), RATE).frames, before, atol=1e-4)

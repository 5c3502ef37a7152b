"""Checkpoints of the release: the newest epoch, sizes from the weights, nothing executed."""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import axlstm
from axlstm.checkpoints.published import (
    from_published,
    infer_config,
    load_published,
    newest_checkpoint,
    published_names,
)
from axlstm.errors import CheckpointError
from axlstm.model.config import SSAST_HEADS_BY_WIDTH, ModelConfig, preset_config
from axlstm.model.pretraining import MaskedPatchModel
from tests.conftest import GOLDEN, PUBLISHED_TINY
from tests.seeded import audio

RUNS = {name: GOLDEN / "published_format_depth1" / f"{name}_4x256_fp16_r1" for name in PUBLISHED_TINY}


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], stored: bool = True) -> None:
    """Copy a checkpoint and change the contents of its zip; None leaves an entry out."""
    kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", kind) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


@pytest.fixture(params=PUBLISHED_TINY)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a run folder whose epoch 9 holds zeros and whose epoch 99 holds the weights."""
    folder = tmp_path / RUNS[request.param].name
    shutil.copytree(RUNS[request.param], folder)
    rewrite(
        folder / "checkpoints" / "checkpoint-99.pth",
        folder / "checkpoints" / "checkpoint-9.pth",
        lambda name, content: bytes(len(content)) if "/data/" in name else content,
    )
    return folder


def test_run_folder_gives_the_published_embedding(run: Path, golden: dict) -> None:
    name = run.name.removesuffix("_4x256_fp16_r1")
    for source in (run, run / "checkpoints", run / "checkpoints" / "checkpoint-99.pth"):
        embedder = axlstm.load_model(source, layout="published")
        scene = embedder.embed(audio(2.0, 200), 16_000).scene
        np.testing.assert_allclose(scene, golden[f"depth1/{name}/2.0/scene"][0], atol=2e-4)
        assert embedder.name == run.name
        assert embedder.config.depth == 1
    older = axlstm.load_model(run / "checkpoints" / "checkpoint-9.pth")
    assert not older.embed(audio(2.0, 200), 16_000).scene.any()


@pytest.mark.parametrize("name", PUBLISHED_TINY)
def test_training_arguments_are_kept_as_plain_values(name: str) -> None:
    training = load_published(RUNS[name]).training
    assert training["epoch"] == 99
    assert training["args"]["config"]["model"]["model_args"]["mask_ratio"] == 0.5
    json.dumps(training)


def test_newest_epoch_by_number(tmp_path: Path) -> None:
    for epoch in (9, 10, 99, 100):
        (tmp_path / f"checkpoint-{epoch}.pth").touch()
    (tmp_path / "checkpoint-last.pth").touch()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-100.pth"
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no checkpoint-EPOCH\.pth"):
        load_published(tmp_path / "empty")


def test_ml_collections_is_not_needed_or_imported() -> None:
    code = (
        "import sys; sys.modules['ml_collections'] = None\n"
        "import axlstm; axlstm.load_model(sys.argv[1])\n"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(RUNS[PUBLISHED_TINY[0]])], check=True)


@pytest.mark.parametrize(
    "config",
    [
        preset_config("axlstm-small", depth=3),
        preset_config("axlstm-tiny", expansion=3.0, heads=6, cls_token=False, depth=2),
        preset_config("axlstm-tiny", patch_bands=8, window_frames=96, depth=1),
        preset_config("ssast-base", depth=2),
        preset_config("ssast-huge", depth=1, cls_token=False),
    ],
)
def test_sizes_come_from_the_weights(config: ModelConfig) -> None:
    with torch.device("meta"):
        ours = {name: tuple(value.shape) for name, value in MaskedPatchModel(config).state_dict().items()}
    shapes = {theirs: ours[mine] for mine, theirs in published_names(config).items()}
    shapes["patch_embed.proj.weight"] = (config.width, 1, config.patch_frames, config.patch_bands)
    shapes["pos_embed"] = (1, *shapes["pos_embed"])
    assert infer_config(shapes, "weights") == config


def test_names_cover_every_weight_of_the_release(published_shapes: dict) -> None:
    for name in PUBLISHED_TINY:
        theirs = published_names(preset_config(name))
        assert set(theirs.values()) == set(published_shapes[name])
    assert SSAST_HEADS_BY_WIDTH[192] == 3


def test_conversion_keeps_the_convolution_of_the_patches(
    seeded_checkpoint: Callable, published_tensors: Callable
) -> None:
    name = PUBLISHED_TINY[0]
    tensors = published_tensors(name)
    windows = torch.randn(2, 200, 80)
    conv = torch.nn.functional.conv2d(
        windows[:, None], tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=(4, 16)
    )  # (B, D, 50, 5)
    tokens = seeded_checkpoint(name).model.encoder.patches(windows)
    torch.testing.assert_close(tokens, conv.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)


SHAPES = [
    ModelConfig(depth=1, width=32, heads=2),
    ModelConfig(depth=2, width=32, heads=4, patch_bands=8, window_frames=96, cls_token=False),
    ModelConfig(depth=1, width=32, heads=2, patch_bands=80, patch_frames=2, window_frames=40),
    ModelConfig(depth=1, width=32, heads=2, window_frames=4),
    ModelConfig(family="ssast", depth=2, width=192, heads=3, expansion=4.0),
]


def state_dict(config: ModelConfig, named_by_us: bool) -> dict[str, torch.Tensor]:
    ours = MaskedPatchModel.initialised(config, seed=1).state_dict()
    if named_by_us:
        return dict(ours)
    theirs = {names: ours[mine] for mine, names in published_names(config).items()}
    kernel = (config.width, 1, config.patch_frames, config.patch_bands)
    theirs["patch_embed.proj.weight"] = theirs["patch_embed.proj.weight"].reshape(kernel)
    return theirs


@pytest.mark.parametrize("named_by_us", [False, True])
@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize(
    ("prefix", "wrap"),
    [
        ("", lambda state: state),
        ("", lambda state: {"model": state}),
        ("_orig_mod.", lambda state: {"state_dict": state, "epoch": 3}),
        ("module._orig_mod.", lambda state: {"model_state_dict": state}),
        ("net.model.", lambda state: {"state_dict": state, "epoch": 3, "pytorch-lightning_version": "2.4"}),
        ("module.", lambda state: {"model": {"state_dict": state}}),
    ],
)
def test_wrapped_weights_load(
    prefix: str, wrap: Callable[[dict], dict], config: ModelConfig, named_by_us: bool, tmp_path: Path
) -> None:
    path = tmp_path / "saved.ckpt"
    torch.save(wrap({prefix + name: value for name, value in state_dict(config, named_by_us).items()}), path)
    loaded = axlstm.load_model(path).checkpoint
    assert loaded.model.config == config
    for name, value in MaskedPatchModel.initialised(config, seed=1).state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


def test_a_compiled_part_and_an_embedder_load(tmp_path: Path) -> None:
    embedder = axlstm.create_model("axlstm-tiny", depth=1, width=32, heads=2)
    state = embedder.state_dict()
    torch.save(
        {"state_dict": {name.replace("encoder.", "encoder._orig_mod."): v for name, v in state.items()}},
        tmp_path / "a.ckpt",
    )
    assert axlstm.load_model(tmp_path / "a.ckpt", engine=None).fingerprint == embedder.fingerprint


@pytest.mark.parametrize("named_by_us", [False, True])
def test_what_does_not_fit_is_named_in_a_few_lines(named_by_us: bool, tmp_path: Path) -> None:
    state, path = state_dict(SHAPES[0], named_by_us), tmp_path / "x.ckpt"

    def refusal(content: dict) -> str:
        torch.save(content, path)
        with pytest.raises(CheckpointError) as refused:
            axlstm.load_model(path)
        assert len(str(refused.value)) < 600 + len(str(path))
        return str(refused.value)

    alien = {f"features.{i}.weight": torch.zeros(2) for i in range(400)}
    assert "features.4.weight, and 395 more" in refusal({"state_dict": alien})
    beside = {**{f"model.{name}": value for name, value in state.items()}, **alien}
    assert "begin with 'model.', it holds features.0.weight" in refusal({"state_dict": beside})
    several = {f"{who}.{name}": value.clone() for who in ("student", "teacher") for name, value in state.items()}
    assert "holds several models (student." in refusal({"state_dict": several})
    twice = {**state, **{f"_orig_mod.{name}": value.clone() for name, value in state.items()}}
    assert "holds several models" in refusal(twice)
    more = refusal({"state_dict": {**state, **alien}})
    assert "features.0.weight is not in the model" in more
    assert "and 395 more" in more
    assert "expected a tensor, found int" in refusal({"state_dict": {**state, "step": 3}})
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match=r"found 'torch\.nn\..*Save model\.state_dict\(\), not the model"):
        axlstm.load_model(path)


@pytest.mark.parametrize("positions", [torch.zeros(0, 32), torch.zeros(5), torch.rand(251, 32), torch.ones(251, 32)])
def test_positions_that_no_model_has_are_refused(positions: torch.Tensor, tmp_path: Path) -> None:
    torch.save(state_dict(SHAPES[0], True) | {"encoder.positions": positions}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError):
        axlstm.load_model(tmp_path / "x.pth")


def test_a_checkpoint_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict = {}
    content["model"] = content
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="model: expected a tensor"):
        axlstm.load_model(tmp_path / "x.pth")


class Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


@pytest.mark.parametrize("key", ["model", "optimizer", "epoch", "args", "scaler", "extra"])
def test_hostile_checkpoints_run_nothing(key: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    config = ModelConfig(depth=1, width=32, heads=2)
    model = MaskedPatchModel.initialised(config)
    names = published_names(config)
    state = {names[mine]: value for mine, value in model.state_dict().items()}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].reshape(32, 1, 4, 16)
    content = {"model": state, "optimizer": {}, "epoch": 1, "args": argparse.Namespace(lr=1.0)}
    content[key] = Hostile(f"touch {marker}")
    path = tmp_path / "checkpoint-1.pth"
    torch.save(content, path)
    if key == "model":
        with pytest.raises(CheckpointError):
            load_published(path)
    else:
        json.dumps(load_published(path).training)
    assert not marker.exists()


def test_hostile_tensor_inside_the_model_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"model": {"cls_token": Hostile(f"touch {marker}")}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="cls_token: expected a tensor"):
        load_published(tmp_path / "x.pth")
    assert not marker.exists()


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    source = RUNS[PUBLISHED_TINY[0]] / "checkpoints" / "checkpoint-99.pth"
    path = tmp_path / "bad.pth"

    def expect(message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            load_published(path)

    expect("no such file")
    path.write_bytes(pickle.dumps({"model": {}}))
    expect("not a checkpoint in torch's zip format")
    path.write_bytes(source.read_bytes()[:100_000])
    expect("not a checkpoint in torch's zip format")
    rewrite(source, path, lambda name, content: None if name.endswith("data.pkl") else content)
    expect("expected one data.pkl")
    rewrite(source, path, lambda name, content: b"big" if name.endswith("byteorder") else content)
    expect("big-endian")
    rewrite(source, path, lambda name, content: content[:-4] if name.endswith("data/1") else content)
    expect("plain bytes, found")
    rewrite(source, path, lambda name, content: None if name.endswith("data/3") else content)
    expect("a tensor that cannot be read")
    rewrite(source, path, lambda _, content: content, stored=False)
    expect("plain bytes, found")


def test_other_contents_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="expected a dictionary"):
        load_published(path)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"not the weights of a published AxLSTM or SSAST model.*weight"):
        load_published(path)
    torch.save({"model": {}}, path)
    with pytest.raises(CheckpointError, match="no tensors"):
        load_published(path)


def test_tensors_that_reach_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": {"cls_token": torch.zeros(8)}}, path)
    # (8,) is pickled as BININT1 8 in the shape and again as the number of stored values: change the first.
    rewrite(
        path, tmp_path / "y.pth", lambda name, c: c.replace(b"K\x08\x85", b"K\x09\x85") if name.endswith("pkl") else c
    )
    with pytest.raises(CheckpointError, match="reaches beyond its 8 stored values"):
        load_published(tmp_path / "y.pth")


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": {"cls_token": torch.zeros(1).expand(2**40)}}, path)
    with pytest.raises(CheckpointError, match="repeats its 1 stored values"):
        load_published(path)
    source = RUNS[PUBLISHED_TINY[0]] / "checkpoints" / "checkpoint-99.pth"
    rewrite(source, path, lambda name, content: bytes(2**20) if name.endswith("byteorder") else content)
    with pytest.raises(CheckpointError, match="big-endian"):
        load_published(path)


class TensorRecord:
    """An object whose pickle is that of a torch tensor of eight stored values, with bounds of our choice."""

    def __init__(self, **bounds: object) -> None:
        self.bounds = {"offset": 0, "shape": (8,), "stride": (1,), "count": 8, "key": "0", **bounds}

    def __reduce__(self) -> tuple:
        offset, shape, stride = (self.bounds[name] for name in ("offset", "shape", "stride"))
        return torch._utils._rebuild_tensor_v2, (self, offset, shape, stride, False, collections.OrderedDict())


class TensorPickler(pickle.Pickler):
    inside = False

    def persistent_id(self, value: object) -> tuple | None:
        if not isinstance(value, TensorRecord):
            return None
        self.inside = not self.inside  # the record itself, then the storage among its arguments
        return (
            None if self.inside else ("storage", torch.FloatStorage, value.bounds["key"], "cpu", value.bounds["count"])
        )


def save_record(path: Path, record: TensorRecord) -> None:
    pickled = io.BytesIO()
    TensorPickler(pickled, 2).dump({"model": {"cls_token": record}})
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled.getvalue())
        file.writestr("x/data/0", bytes(32))


BOUNDS = [
    *({"offset": value} for value in (-1, 2**64, 0.5, None, "a", 1, True)),
    *({"count": value} for value in (-1, 2**64, 8.0, None, "a", 7, 9, True)),
    *({"shape": (value,)} for value in (-1, 2**64, 8.0, None, "a", 0, 9, (8,))),
    *({"stride": (value,)} for value in (-1, 2**64, 1.0, None, "a", 2, (1,))),
    {"shape": 8},
    {"stride": None},
    {"stride": (1, 1)},
    {"shape": (2**62, 2**62), "stride": (0, 0)},
    {"key": "1"},
    {"key": ["0"]},
    {"key": "../data.pkl"},
]


@pytest.mark.parametrize("flags", [[], ["-O"]])
def test_impossible_bounds_are_refused(flags: list[str], tmp_path: Path) -> None:
    """They are refused with and without assertions (python -O)."""
    files = [tmp_path / f"{number}.pth" for number in range(len(BOUNDS) + 1)]
    for file, bounds in zip(files, [{}, *BOUNDS], strict=True):
        save_record(file, TensorRecord(**bounds))
    code = (
        "import sys\n"
        "from axlstm.checkpoints.published import load_published\n"
        "for file in sys.argv[1:]:\n"
        "    try: load_published(file)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, *flags, "-c", code, *files], check=True, capture_output=True, text=True)
    possible, *messages = done.stdout.splitlines()
    assert "not the weights of a published AxLSTM or SSAST model" in possible
    for file, message, bounds in zip(files[1:], messages, BOUNDS, strict=True):
        assert message.startswith(f"CheckpointError {file}: "), bounds
        assert "not the weights" not in message, bounds


def test_names_and_values_of_any_length_stay_out_of_messages(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    level: list = [0]
    for _ in range(60):
        level = [level, level]
    for model in (
        {"cls_token": level},
        {"cls_token": "x" * 10**6},
        {("cls", "token"): torch.zeros(1)},
        {"x" * 10**6: torch.zeros(1)},
        {"cls_token\x1b[1m": torch.zeros(1)},
        {"cls\ntoken": torch.zeros(1)},
        {"cls_token": type("x" * 10**6, (Hostile,), {})("true")},
    ):
        torch.save({"model": model}, path)
        with pytest.raises(CheckpointError) as caught:
            load_published(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 1000


def test_tensors_that_share_a_storage_do_not_fill_the_memory(tmp_path: Path) -> None:
    shared = torch.zeros(1000, 1000)
    torch.save({"model": {f"blocks.{n}.weight": shared for n in range(1000)}}, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").stat().st_size < 5_000_000
    with pytest.raises(CheckpointError, match=r"blocks\.1\.weight: it shares its values"):
        load_published(tmp_path / "x.pth")


def test_a_number_of_blocks_beyond_the_tensors_is_refused(published_tensors: Callable, tmp_path: Path) -> None:
    tensors = published_tensors(PUBLISHED_TINY[0])
    torch.save({"model": {**tensors, "blocks.1000000000.norm.weight": torch.zeros(1)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: .*1000000001 blocks in \d+ tensors"):
        load_published(tmp_path / "x.pth")


def test_a_bare_state_dict_from_several_devices_loads(published_tensors: Callable, tmp_path: Path) -> None:
    name = PUBLISHED_TINY[1]
    tensors = collections.OrderedDict((f"module.{key}", value) for key, value in published_tensors(name).items())
    torch.save(tensors, tmp_path / "bare.pth")
    checkpoint = load_published(tmp_path / "bare.pth")
    assert checkpoint.model.config == preset_config(name)
    assert checkpoint.name == "bare"


def test_views_and_other_dtypes_are_read(published_tensors: Callable, tmp_path: Path) -> None:
    tensors = published_tensors(PUBLISHED_TINY[0])
    expected = from_published(tensors, preset_config(PUBLISHED_TINY[0]))
    name = "blocks.0.layer.proj_up.weight"
    stored = dict(tensors)
    stored[name] = tensors[name].t().contiguous().t()  # the same values, column by column
    stored["cls_token"] = tensors["cls_token"].double()
    torch.save({"model": stored}, tmp_path / "views.pth")
    state = load_published(tmp_path / "views.pth").model.state_dict()
    assert torch.equal(state["encoder.blocks.0.layer.up.weight"], expected["encoder.blocks.0.layer.up.weight"])
    assert torch.equal(state["encoder.cls_token"], expected["encoder.cls_token"])


def test_runs_can_be_copied_and_renamed(tmp_path: Path) -> None:
    shutil.copytree(RUNS[PUBLISHED_TINY[1]], tmp_path / "my run")
    assert axlstm.load_model(tmp_path / "my run").name == "my run"

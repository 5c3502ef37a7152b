"""Checkpoints of the release: its run folders, its parameter names as ours, sizes from its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from axlstm.checkpoints.inert_pickle import to_plain
from axlstm.checkpoints.own import Checkpoint, build_model
from axlstm.checkpoints.pth import read_pth
from axlstm.errors import CheckpointError
from axlstm.model.config import SSAST_HEADS_BY_WIDTH, ModelConfig

MEL_BANDS = 80
_EPOCH = re.compile(r"checkpoint-(\d+)\.pth$")


def _with_biases(modules: Mapping[str, str]) -> dict[str, str]:
    kinds = ("weight", "bias")
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in modules.items() for kind in kinds}


_SHARED_NAMES = {
    "encoder.cls_token": "cls_token",
    "encoder.positions": "pos_embed",
    "encoder.mask_token": "mask_token",
    **_with_biases({"encoder.patches.projection": "patch_embed.proj", "encoder.norm": "encoder_norm"}),
    **_with_biases({"head.0": "pred.0", "head.2": "pred.2"}),
}
_AXLSTM_BLOCK_NAMES = {
    "norm": "norm.weight",
    "layer.up.weight": "layer.proj_up.weight",
    **_with_biases({"layer.conv": "layer.conv1d.conv"}),
    "layer.q.weight": "layer.q_proj.weight",
    "layer.k.weight": "layer.k_proj.weight",
    "layer.v.weight": "layer.v_proj.weight",
    **_with_biases({"layer.input_gate": "layer.mlstm_cell.igate", "layer.forget_gate": "layer.mlstm_cell.fgate"}),
    "layer.head_norm": "layer.mlstm_cell.outnorm.weight",
    "layer.skip": "layer.learnable_skip",
    "layer.down.weight": "layer.proj_down.weight",
}
_SSAST_BLOCK_NAMES = {
    **_with_biases({"attention_norm": "norm1", "qkv": "attn.qkv_layer", "out": "attn.proj_layer"}),
    **_with_biases({"mlp_norm": "norm2", "mlp_in": "mlp.layer1", "mlp_out": "mlp.layer2"}),
}


def published_names(config: ModelConfig) -> dict[str, str]:
    """Map our names of parameters and buffers to the release's."""
    names = {ours: theirs for ours, theirs in _SHARED_NAMES.items() if config.cls_token or theirs != "cls_token"}
    per_block = _AXLSTM_BLOCK_NAMES if config.family == "axlstm" else _SSAST_BLOCK_NAMES
    for index in range(config.depth):
        for ours, theirs in per_block.items():
            names[f"encoder.blocks.{index}.{ours}"] = f"blocks.{index}.{theirs}"
    return names


def from_published(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Rename and reshape the release's tensors to ours; unknown names are kept."""
    ours_by_theirs = {theirs: ours for ours, theirs in published_names(config).items()}
    out = {}
    for theirs, value in tensors.items():
        if theirs in ("cls_token", "mask_token"):  # (1, 1, D) -> (D,)
            value = value.reshape(-1)
        elif theirs == "pos_embed":  # (1, S, D) -> (S, D)
            value = value.reshape(value.shape[-2:])
        elif theirs == "patch_embed.proj.weight":  # (D, 1, frames, bands) -> (D, frames * bands)
            value = value.flatten(1)
        out[ours_by_theirs.get(theirs, theirs)] = value
    return out


def infer_config(shapes: Mapping[str, tuple[int, ...]], source: str) -> ModelConfig:
    """Infer the configuration from the shapes of published weights.

    The weights of SSAST do not show its number of attention heads. It is the published number for the width, or one
    head for 64 channels.

    Raises:
        CheckpointError: the shapes are not those of a published model.
    """
    try:
        rows, width = shapes["pos_embed"][-2:]
        _, _, patch_frames, patch_bands = shapes["patch_embed.proj.weight"]
        depth = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks."))
        if depth > len(shapes):
            raise ValueError(f"{depth} blocks in {len(shapes)} tensors")
        cls_token = "cls_token" in shapes
        common: dict[str, Any] = {
            "depth": depth,
            "width": width,
            "mel_bands": MEL_BANDS,
            "patch_frames": patch_frames,
            "patch_bands": patch_bands,
            "window_frames": (rows - cls_token) // (MEL_BANDS // patch_bands) * patch_frames,
            "cls_token": cls_token,
        }
        if "blocks.0.layer.proj_up.weight" in shapes:
            return ModelConfig(
                family="axlstm",
                heads=shapes["blocks.0.layer.mlstm_cell.igate.weight"][0],
                expansion=shapes["blocks.0.layer.proj_up.weight"][0] / (2 * width),
                conv_kernel=shapes["blocks.0.layer.conv1d.conv.weight"][-1],
                projection_block=shapes["blocks.0.layer.q_proj.weight"][-1],
                **common,
            )
        return ModelConfig(
            family="ssast",
            heads=SSAST_HEADS_BY_WIDTH.get(width, max(width // 64, 1)),
            expansion=shapes["blocks.0.mlp.layer1.weight"][0] / width,
            **common,
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{source}: not the weights of a published AxLSTM or SSAST model "
            f"({error.args[0] if error.args else error!r}); it holds {', '.join(list(shapes)[:5]) or 'no tensors'}"
        ) from error


def newest_checkpoint(run: Path) -> Path | None:
    """Find the ``.pth`` of the largest epoch in a run folder or its folder ``checkpoints``; None if there is none."""
    files = [path for folder in (run, run / "checkpoints") if folder.is_dir() for path in folder.iterdir()]
    found = [(int(match[1]), path) for path in files if (match := _EPOCH.search(path.name))]
    return max(found)[1] if found else None


def load_published(path: str | Path) -> Checkpoint:
    """Read a run folder of the release, or one of its ``.pth`` files, and execute nothing inside.

    The sizes come from the weights. The states of the optimizer and scaler are ignored. The training arguments are
    kept as plain values.

    Raises:
        CheckpointError: there is no checkpoint, the file cannot be read safely, or the weights are not those of a
            published model.
    """
    path = Path(path)
    file = newest_checkpoint(path) if path.is_dir() else path
    if file is None:
        raise CheckpointError(f"{path}: no checkpoint-EPOCH.pth here or in its folder 'checkpoints'")
    content, tensors = read_pth(file)
    config = infer_config({name: tuple(value.shape) for name, value in tensors.items()}, str(file))
    training = to_plain({key: content[key] for key in ("epoch", "args") if key in content}, str(file))
    run = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    return Checkpoint(
        model=build_model(config, from_published(tensors, config), str(file)),
        training={"source": f"{run.name}/{file.name}", **training},
        name=run.name if _EPOCH.search(file.name) else file.stem,
    )

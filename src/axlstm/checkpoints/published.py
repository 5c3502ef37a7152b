"""Convert checkpoints of the release and other state_dicts: names to ours, sizes from the weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from axlstm.checkpoints.inert_pickle import to_plain
from axlstm.checkpoints.own import Checkpoint, build_model
from axlstm.checkpoints.pth import read_pth
from axlstm.errors import CheckpointError, name_some
from axlstm.model.config import SSAST_HEADS_BY_WIDTH, ModelConfig

MEL_BANDS = 80
_POSITIONS = ("pos_embed", "encoder.positions")  # the positions by their names in the release and here
_MISFITS = (KeyError, ValueError, IndexError, ZeroDivisionError)  # what shapes raise that are not a model's
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
    except _MISFITS as error:
        raise _misfit(source, shapes, error) from error


def _misfit(source: str, names: Iterable[str], error: Exception) -> CheckpointError:
    reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
    held = name_some(names) or "no tensors"
    return CheckpointError(
        f"{source}: not the weights of a published AxLSTM or SSAST model ({reason}); it holds {held}"
    )


def _plain_names(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Remove what torch.compile, data parallelism and Lightning put before the names of a model's tensors.

    Raises:
        CheckpointError: there are several models, or tensors beside the model.
    """
    plain = {name.replace("_orig_mod.", ""): value for name, value in tensors.items()}
    ends = [name for name in plain if f".{name}".endswith(tuple(f".{end}" for end in _POSITIONS))]
    prefixes = {name.removesuffix("encoder.positions").removesuffix("pos_embed") for name in ends}
    if len(prefixes) > 1 or len(plain) < len(tensors):
        raise CheckpointError(f"{source}: holds several models ({name_some(ends)}); save the state_dict of one")
    prefix = "".join(prefixes)
    if outside := [name for name in plain if not name.startswith(prefix)]:
        raise CheckpointError(
            f"{source}: beside the model, whose tensors begin with {prefix!r}, it holds {name_some(outside)}; "
            "save the state_dict of the model alone"
        )
    return {name.removeprefix(prefix): value for name, value in plain.items()}


def _published_shapes(tensors: Mapping[str, Tensor], source: str) -> dict[str, tuple[int, ...]]:
    """List shapes by the release's names. Of our own weights, the positions tell the form of a patch.

    Raises:
        CheckpointError: positions or a projection of patches that no model has.
    """
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    if "encoder.positions" not in tensors:
        return shapes
    blocks = _AXLSTM_BLOCK_NAMES | _SSAST_BLOCK_NAMES
    renamed = {}
    for name, shape in shapes.items():
        index, _, rest = name.removeprefix("encoder.blocks.").partition(".")
        in_block = f"blocks.{index}.{blocks.get(rest, rest)}"
        renamed[in_block if name.startswith("encoder.blocks.") else _SHARED_NAMES.get(name, name)] = shape
    try:
        positions = tensors["encoder.positions"]["encoder.cls_token" in tensors :]  # (tokens, D)
        times = positions[:, positions.shape[-1] // 2 :]  # (tokens, D / 2): equal for all bands of a time
        patch_bands = MEL_BANDS // int((times == times[:1]).all(dim=1).sum())
        width, pixels = shapes["encoder.patches.projection.weight"]
        return renamed | {"patch_embed.proj.weight": (width, 1, pixels // patch_bands, patch_bands)}
    except _MISFITS as error:
        raise _misfit(source, shapes, error) from error


def newest_checkpoint(run: Path) -> Path | None:
    """Find the ``.pth`` of the largest epoch in a run folder or its folder ``checkpoints``; None if there is none."""
    files = [path for folder in (run, run / "checkpoints") if folder.is_dir() for path in folder.iterdir()]
    found = [(int(match[1]), path) for path in files if (match := _EPOCH.search(path.name))]
    return max(found)[1] if found else None


def load_published(path: str | Path) -> Checkpoint:
    """Read a run folder of the release, or a file that torch saved, and execute nothing inside.

    The file is one of the release's ``.pth`` files, or a state_dict with the release's names or ours, by itself or
    in a checkpoint of Lightning's or another training code. The sizes come from the weights. The states of the
    optimizer and scaler are ignored. The training arguments are kept as plain values.

    Raises:
        CheckpointError: there is no checkpoint, the file cannot be read safely, or the weights are not those of a
            published model.
    """
    path = Path(path)
    file = newest_checkpoint(path) if path.is_dir() else path
    if file is None:
        raise CheckpointError(f"{path}: no checkpoint-EPOCH.pth here or in its folder 'checkpoints'")
    content, tensors = read_pth(file)
    tensors = _plain_names(tensors, str(file))
    config = infer_config(_published_shapes(tensors, str(file)), str(file))
    training = to_plain({key: content[key] for key in ("epoch", "args") if key in content}, str(file))
    run = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    return Checkpoint(
        model=build_model(config, from_published(tensors, config), str(file)),
        training={"source": str(PurePosixPath(run.name, file.name)), **training},
        name=run.name if _EPOCH.search(file.name) else file.stem,
    )

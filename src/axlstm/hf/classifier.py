"""Read the head of a classifier's folder, and make the files that hold it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from axlstm import __version__
from axlstm.checkpoints.own import Checkpoint, fingerprint
from axlstm.collection.classifiers.classifier import (
    BESIDE,
    DESCRIPTION,
    HEAD,
    Classifier,
    FrameRule,
    Layer,
    is_classifier,
    load_classifier,
    read_description,
)
from axlstm.collection.folder import EncoderEntry
from axlstm.embed.identity import embedding_fingerprint
from axlstm.errors import ConfigError, name_some
from axlstm.hf.config import AxLSTMConfig
from axlstm.hf.saved import Found, make_checkpoint
from axlstm.options import HeadMode

CLASSIFIER_FILES = (DESCRIPTION, HEAD)
_MODES: dict[HeadMode, str] = {
    "multiclass": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}


def read_head(of: Found) -> dict[str, Tensor]:
    """Read the tensors of a folder's head, and note in the configuration what the folder says of it.

    Args:
        of: the labels of its configuration, if there are some, are those that are asked for.

    Returns:
        tensors by their names in `axlstm.finetuning.network.ClipHead`; none for a fresh head.

    Raises:
        ConfigError: there are no labels, or others than those asked for; or a head that is none of one linear map on
            the encoder beside it.
        DataError, DamageError: as `axlstm.load_classifier`.
    """
    folder, config = of.folder, of.config
    if not is_classifier(folder):
        if not config.labels:
            raise ConfigError(
                f"{folder}: a model that embeds and has no labels: give id2label= (or num_labels=) for a fresh head to "
                "train, or load it with AutoModel"
            )
        return {}
    found = load_classifier(folder)
    if config.labels and config.labels != found.labels:
        if of.fresh:
            return {}
        raise ConfigError(f"{folder}: {_tell_labels(found.labels, config.labels)}")
    if len(found.layers) != 1 or found.background:
        kind = f"{len(found.layers)} layers{' with a background' if found.background else ''}"
        raise ConfigError(
            f"{folder}: a head of {kind}: axlstm.hf takes those that axlstm finetune makes, and axlstm.load_classifier "
            "takes this one"
        )
    pooling = found.encoder.options.get("pooling", "mean")
    if found.encoder.fingerprint != (there := _fingerprint(make_checkpoint(config, of.tensors), pooling)):
        raise ConfigError(
            f"{folder}: not the encoder that the classifier was trained with (fingerprint {there}, expected "
            f"{found.encoder.fingerprint}); put back a copy of the folder"
        )
    config.head_pooling = None if found.frames is not None else pooling
    tensors = {"mean": found.mean, "deviation": found.deviation}
    tensors |= {"linear.weight": found.layers[0].weight, "linear.bias": found.layers[0].bias}
    if found.attention is not None:
        config.head_pooling = "attention"
        tensors["attention"] = found.attention
    config.id2label = dict(enumerate(found.labels))
    config.label2id = {label: number for number, label in enumerate(found.labels)}
    config.problem_type = _MODES[found.mode]
    config.classifier = read_description(folder)
    return {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}


def _tell_labels(there: tuple[str, ...], asked: tuple[str, ...]) -> str:
    lost, new = name_some(sorted(set(there) - set(asked))), name_some(sorted(set(asked) - set(there)))
    told = f"in the folder alone {lost or 'none'}; asked for alone {new or 'none'}"
    told = told if lost or new else "the same ones in another order"
    return (
        f"a classifier of other labels than those asked for ({told}); leave the labels out, or give "
        "ignore_mismatched_sizes=True for a fresh head"
    )


def calibration(config: AxLSTMConfig, scores: Tensor) -> Tensor:
    """Calibrate scores ``(..., K)`` as the folder says that they were read from."""
    about = config.classifier
    if about is None:
        return scores
    slope, offset = (scores.new_tensor(about[name]) for name in ("slope", "offset"))  # (K,) each
    return slope * scores + offset


def classifier_files(config: AxLSTMConfig, checkpoint: Checkpoint, head: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Return the files that hold a head, by name: those that were read, byte for byte, if nothing has changed.

    Args:
        checkpoint: the encoder.
        head: tensors by their names in `axlstm.finetuning.network.ClipHead`, float32.
    """
    about = config.classifier or {}
    arrays = {name: value.numpy() for name, value in head.items()}
    options: dict[str, Any] = {"pooling": "mean+deviation"} if config.head_pooling == "mean+deviation" else {}
    marked = _fingerprint(checkpoint, options.get("pooling", "mean"))
    frames = None if config.head_pooling is not None else FrameRule(**about.get("frames", {}))
    count = len(config.labels)
    made = Classifier(
        labels=config.labels,
        mode=mode_of(config),
        encoder=EncoderEntry(
            0, checkpoint.name, BESIDE, marked, len(arrays["mean"]), *_windows(config, about), options
        ),
        mean=arrays["mean"],
        deviation=arrays["deviation"],
        layers=(Layer(arrays["linear.weight"], arrays["linear.bias"]),),
        slope=np.array(about.get("slope", np.ones(count)), np.float64),
        offset=np.array(about.get("offset", np.zeros(count)), np.float64),
        thresholds=np.full(count, 0.5),
        card={"axlstm": __version__, "made_by": "axlstm.hf"},
        attention=arrays.get("attention"),
        frames=frames,
    )
    files = made.files()
    if about and _is_same(about, made, files[HEAD]):
        files[DESCRIPTION] = (json.dumps(about, indent=1) + "\n").encode()
    return files


def _is_same(about: Mapping[str, Any], made: Classifier, head: bytes) -> bool:
    """Tell whether a description still fits: labels, mode, head and encoder are as they were."""
    same_weights = about["head_crc32"] == f"{zlib.crc32(head):08x}"
    same_weights &= about["encoder"]["fingerprint"] == made.encoder.fingerprint
    return same_weights and tuple(about["labels"]) == made.labels and about["mode"] == made.mode


def mode_of(config: AxLSTMConfig) -> HeadMode:
    """Return what a head's scores are, which a configuration says by its ``problem_type``."""
    told = config.problem_type or ("regression" if len(config.labels) == 1 else _MODES["multiclass"])
    return next(mode for mode, name in _MODES.items() if name == told)


def _windows(config: AxLSTMConfig, about: Mapping[str, Any]) -> tuple[float, float]:
    """Return length and distance of the windows that recordings are cut into, in seconds."""
    if about:
        return about["encoder"]["window_s"], about["encoder"]["hop_s"]
    frames = config.shape.patch_frames if config.head_pooling is None else config.shape.window_frames
    window_s = frames * config.front_end.hop_samples / config.front_end.sample_rate_hz
    return (window_s, window_s) if config.head_pooling is None else (window_s, window_s / 2)


def _fingerprint(checkpoint: Checkpoint, pooling: str) -> str:
    """Return the fingerprint of the embedder that `axlstm.load_classifier` makes of the folder."""
    return embedding_fingerprint(
        fingerprint(checkpoint.model, checkpoint.frontend),
        layout="time",
        layers=None,
        precision="float32",
        engine=None,
        pooling=pooling,
        padding="window",
    )

"""Define every choice and every shared group of options once. This module loads neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args

from typing_extensions import Doc

from axlstm.errors import ConfigError

if TYPE_CHECKING:
    import torch

# models and embedders
Family = Literal["axlstm", "ssast"]
LayoutName = Literal["time", "published"]
Padding = Literal["window", "none"]
Pooling = Literal["mean", "mean+deviation"]
Precision = Literal["float32", "bfloat16", "float16"]
Runtime = Literal["onnxruntime", "openvino"]
EngineName = Literal["auto", "processes", "onnxruntime", "openvino"]
ExportFormat = Literal["onnx", "openvino", "torch-export"]
StreamUnit = Literal["frame", "window"]
Encoding = Literal["u8", "s16le", "s24le", "s24in32le", "s32le", "f32le", "f64le"]
# work in parts
RunnerName = Literal["processes", "ray", "slurm"]
# shards and pretraining
Content = Literal["logmel", "audio"]
RecordPrecision = Literal["float16", "float32"]
Grouping = Literal["file", "folder"]
Masking = Literal["unstructured", "timestep", "inverse-blocks"]
Loss = Literal["all", "masked"]
LatentNorm = Literal["dimension", "token"]
ClipLoss = Literal["vicreg", "nt-xent"]
TeachUnit = Literal["frame", "scene"]
TrainingPrecision = Literal["auto", "float32", "bfloat16", "float16"]
WandbMode = Literal["off", "online", "offline"]
# collections
CollectionFormat = Literal["parquet", "lancedb", "hoplite"]
LabelFormat = Literal["csv", "raven", "audacity", "kaleidoscope", "folders", "hear"]
HitFormat = Literal["csv", "json", "raven", "audacity"]
DetectionFormat = Literal["csv", "parquet", "raven", "audacity", "kaleidoscope"]
Verdict = Literal["yes", "no", "unsure"]
Combine = Literal["mean", "max"]
ClassifierMode = Literal["multilabel", "multiclass"]
HeadMode = Literal["multilabel", "multiclass", "regression"]
GroupName = Literal["recording", "site", "day"]
HeadName = Literal["logistic", "lda", "mlp"]
HeadChoice = Literal["logistic", "lda", "mlp", "auto"]
SuggestBy = Literal["margin", "quantile", "diversity", "random"]
# fine-tuning
TaskKind = Literal["multiclass", "multilabel", "events", "regression"]
HeadPooling = Literal["mean", "mean+deviation", "attention"]
HeadBegin = Literal["probe", "zeros", "model"]
Balance = Literal["none", "weights", "sampling"]
# evaluation
ProtocolName = Literal["published", "hear", "standardised", "linear", "knn", "logreg", "lda"]
ProbePrecision = Literal["auto", "float32", "bfloat16"]

_OLD_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

if TYPE_CHECKING:
    Device = str | torch.device
    DType = Precision | torch.dtype
else:  # the command line reads these types, and it passes names only
    Device, DType = str, Precision


class EncoderOptions(TypedDict, total=False):
    """Options of frame embeddings."""

    layout: Annotated[
        LayoutName,
        Doc('"time" gives frames in the order of time; "published" gives the release\'s frames, digit by digit.'),
    ]
    padding: Annotated[
        Padding,
        Doc(
            'How the last window of a clip ends. "window" fills it up with zeros. "none" computes it as short as its '
            "sound: short clips cost less, and some tasks lose accuracy (docs/performance.md)."
        ),
    ]
    device: Annotated[Device, Doc("cpu, cuda, cuda:N, mps, or auto, which takes an accelerator if there is one.")]
    dtype: Annotated[DType, Doc("Precision of the encoder. The front end and all results are float32.")]
    layers: Annotated[
        int | Sequence[int] | None,
        Doc(
            "Hidden states to embed with instead of the last layer's normalised output. 0 is the patches, and depth is "
            "the output of the last block. Negative numbers count from the end. Several states are put side by side."
        ),
    ]
    batch_windows: Annotated[int | None, Doc("Number of windows in one batch. None chooses it by device.")]
    engine: Annotated[
        EngineName | None,
        Doc(
            'Runs the encoder on a CPU. "auto" is OpenVINO where it is installed and agrees with torch, or else torch; '
            'axlstm info tells which, and why. None is torch. "processes" is torch in one process for each core. '
            '"openvino" (float32, bfloat16) and "onnxruntime" (float32, an extra) are those and no other.'
        ),
    ]


class EmbedderOptions(EncoderOptions, total=False):
    """Options of an embedder."""

    pooling: Annotated[
        Pooling,
        Doc(
            'How frames become a clip\'s embedding. "mean+deviation" doubles its size; most tasks with a classifier '
            "behind it gain from that (docs/study.md)."
        ),
    ]


class PartOptions(TypedDict, total=False):
    """Options of work in parts."""

    runner: Annotated[
        RunnerName | None,
        Doc(
            'Who does the work in parts. "processes" are of this machine. "ray" is a cluster, or started here (an '
            'extra). "slurm" plans, and writes the scripts of an array. None is processes where OUT is a folder of '
            "parts, and no parts elsewhere."
        ),
    ]
    workers: Annotated[
        int | None,
        Doc("How many do parts, a core each. None takes as many as there are cores for, and 100 tasks of Slurm."),
    ]
    part_files: Annotated[int, Doc("Most recordings of a part.")]
    part_mb: Annotated[float, Doc("Most megabytes of a part's recordings, as they lie on the disk.")]
    ray_address: Annotated[str | None, Doc("Of a Ray cluster. None takes RAY_ADDRESS, or starts Ray on this machine.")]
    part_folder: Annotated[
        str | None,
        Doc("Where parts lie until OUT is made of them: a folder, or the URL of one. None is OUT.work."),
    ]
    gpus: Annotated[
        float | None, Doc("GPUs of a worker of Ray: 0.25 lets four share one. None is 1 if its device is cuda.")
    ]


PART_DEFAULTS: PartOptions = {
    "runner": None,
    "workers": None,
    "part_files": 500,
    "part_mb": 500.0,
    "ray_address": None,
    "part_folder": None,
    "gpus": None,
}

ENCODER_DEFAULTS: EncoderOptions = {
    "layout": "time",
    "padding": "window",
    "device": "cpu",
    "dtype": "float32",
    "layers": None,
    "batch_windows": None,
    "engine": "auto",
}
EMBEDDER_DEFAULTS: EmbedderOptions = {**ENCODER_DEFAULTS, "pooling": "mean"}


class ModelChanges(TypedDict, total=False):
    """Fields of a published size to change. The others stay as published."""

    depth: int
    width: int
    heads: int
    expansion: float
    window_frames: int
    patch_frames: int
    patch_bands: int
    cls_token: bool
    masked_positions: bool
    conv_kernel: int
    projection_block: int


class CreateOptions(ModelChanges, EmbedderOptions, total=False):
    """Options of `axlstm.create_model`."""


def check_choice(option: str, value: object, literal: Any) -> Any:
    """Return ``value`` if a Literal contains it; otherwise raise a `ConfigError` that lists the choices."""
    choices = get_args(literal)
    if value not in choices:
        raise ConfigError(f"{option}={value!r}: expected one of {', '.join(choices)}")
    return value


def current_precision(name: str) -> Any:
    """Translate the spelling of a precision in older configurations of training to the present one."""
    return _OLD_PRECISIONS.get(name, name)


def refuse_unknown(options: Iterable[str], known: Iterable[str]) -> None:
    """Raise a `ConfigError` that names the unknown options and lists the known ones."""
    known = tuple(known)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"unknown option {', '.join(unknown)}: expected {', '.join(known)}")

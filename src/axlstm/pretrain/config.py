"""Configure a training run. The defaults are the published recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, get_origin, get_type_hints

from axlstm.data.config import InputConfig
from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig, preset_config
from axlstm.options import (
    ClipLoss,
    LatentNorm,
    Loss,
    Masking,
    TrainingPrecision,
    WandbMode,
    check_choice,
    current_precision,
)


@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """Latent targets: the states of an EMA teacher, which is a slowly moving copy of the encoder.

    The teacher sees the whole window, and the student predicts its states (Baevski et al. 2023, data2vec 2.0; Chen et
    al. 2024, EAT).
    """

    weight: float = 0.0  # of the loss at hidden patches
    clip_weight: float = 0.0  # of the loss of the window's mean over time
    layers: int = 8  # upper layers whose mean is the target
    normalise: LatentNorm = "dimension"  # each channel over the patches of a window; "token": each patch over channels
    masks: int = 1  # masks of each crop in a batch; they share the teacher's pass
    decay: float = 0.99  # share of its own weights that the teacher keeps at a step, at the beginning of the run
    final_decay: float = 0.9995  # and at its end, in a straight line

    def __post_init__(self) -> None:
        _check_numbers("objective.latent", self, "weight", "clip_weight", zero=True)
        _check_numbers("objective.latent", self, "layers", "masks")
        check_choice("objective.latent.normalise", self.normalise, LatentNorm)
        for name in ("decay", "final_decay"):
            value = getattr(self, name)
            _check(f"objective.latent.{name}", value, 0 <= value < 1, "at least 0 and below 1")
        _check("objective.latent.masks", self.masks, self.masks == 1 or self.active, "1 where latent targets are off")

    @property
    def active(self) -> bool:
        """Tell whether the objective has any weight."""
        return self.weight > 0 or self.clip_weight > 0


@dataclass(frozen=True, kw_only=True)
class TeachersConfig:
    """Teachers: the embeddings of frozen encoders, which linear heads regress from the student's frames.

    Weights are one for each folder, or one for all.
    """

    folders: tuple[str, ...] = ()  # of embeddings, as axlstm teach writes them
    frame_weights: tuple[float, ...] = ()  # of the losses of embeddings in time, at the student's frames
    clip_weights: tuple[float, ...] = ()  # of the losses of their mean over the crop, from the mean of the frames

    def __post_init__(self) -> None:
        count = len(self.folders)
        for name in ("frame_weights", "clip_weights"):
            weights = getattr(self, name)
            fits = len(weights) in {0, 1, count} and all(weight >= 0 for weight in weights)
            expected = f"numbers of zero or above, one for all or one for each of {count} folders"
            _check(f"objective.teachers.{name}", weights, fits if count else not weights, expected)
        idle = [folder for folder, *weights in self.weighted if not any(weights)]
        _check("objective.teachers.folders", idle, not idle, "a frame weight or a clip weight above zero for each")

    @property
    def weighted(self) -> list[tuple[str, float, float]]:
        """List each folder with its weight of frames and its weight of clips."""
        count = len(self.folders)
        weights = (self.frame_weights or (0.0,), self.clip_weights or (0.0,))
        frames, clips = (given * count if len(given) == 1 else given for given in weights)
        return list(zip(self.folders, frames, clips, strict=True))


@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """Clips: two crops of each recording in a batch, whose projections agree. A batch then has half as many records."""

    weight: float = 0.0
    kind: ClipLoss = "vicreg"  # invariance, variance and covariance; or "nt-xent", against the rest of the batch
    width: int = 512  # of the projection
    invariance: float = 1.0  # vicreg's weights of its three terms, in the published ratio
    variance: float = 1.0
    covariance: float = 0.04
    temperature: float = 0.1  # nt-xent's

    def __post_init__(self) -> None:
        check_choice("objective.clips.kind", self.kind, ClipLoss)
        _check_numbers("objective.clips", self, "weight", "invariance", "variance", "covariance", zero=True)
        _check_numbers("objective.clips", self, "width", "temperature")


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The prediction task, and the losses beside it. Each has its weight; 0 turns it off."""

    mask_ratio: float = 0.5  # share of hidden patches
    masking: Masking = "unstructured"  # or "timestep": all bands of a patch of time; "inverse-blocks": visible blocks
    loss: Loss = "all"  # over all patches, as released; "masked": over the hidden ones, as the paper says
    normalise_targets: bool = False  # bring each target patch to zero mean and unit deviation
    pixel_weight: float = 1.0  # of the loss of predicted log-mel values
    crop_seconds: tuple[float, ...] = ()  # each step draws one of them for all its crops; none: the model's window
    latent: LatentConfig = field(default_factory=LatentConfig)
    teachers: TeachersConfig = field(default_factory=TeachersConfig)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    input: InputConfig = field(default_factory=InputConfig)

    def __post_init__(self) -> None:
        check_choice("objective.masking", self.masking, Masking)
        check_choice("objective.loss", self.loss, Loss)
        _check("objective.mask_ratio", self.mask_ratio, 0 <= self.mask_ratio < 1, "at least 0 and below 1")
        _check_numbers("objective", self, "pixel_weight", zero=True)
        if self.latent.weight:
            expected = "above 0 for latent targets of hidden patches (objective.latent.weight)"
            _check("objective.mask_ratio", self.mask_ratio, self.mask_ratio > 0, expected)

    @property
    def crops(self) -> int:
        """Count the crops of each record in a batch."""
        return 2 if self.clips.weight else 1


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW and its batch. ``global_batch`` counts the crops of all processes and accumulated passes."""

    base_learning_rate: float = 1.5e-4  # for a global batch of 256; the peak is proportional to the batch
    learning_rate: float | None = None  # the peak itself, instead of base_learning_rate
    final_learning_rate: float = 0.0  # at the end of the cosine
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.05  # on parameters that have more than one dimension in the published model
    clip_norm: float | None = None  # largest norm of the whole gradient; none, as published, clips nothing
    global_batch: int = 1024  # published: 4 GPUs x 256
    micro_batch: int = 256  # most crops in one forward pass of one process; more are accumulated

    def __post_init__(self) -> None:
        _check_numbers("optimiser", self, "base_learning_rate", "eps", "global_batch", "micro_batch")
        _check_numbers("optimiser", self, "learning_rate", "clip_norm", or_none=True)
        _check_numbers("optimiser", self, "weight_decay", "final_learning_rate", zero=True)
        _check("optimiser.betas", self.betas, all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")

    @property
    def peak_learning_rate(self) -> float:
        """Return the learning rate at the end of the warm-up."""
        given = self.learning_rate
        return self.base_learning_rate * self.global_batch / 256 if given is None else given


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Length of training: linear warm-up, then half a cosine. Steps replace epochs where they are set."""

    epochs: float = 100.0
    warmup_epochs: float = 10.0
    steps: int | None = None
    warmup_steps: int | None = None

    def __post_init__(self) -> None:
        _check_numbers("schedule", self, "epochs")
        _check_numbers("schedule", self, "warmup_epochs", zero=True)
        _check_numbers("schedule", self, "steps", or_none=True)
        _check_numbers("schedule", self, "warmup_steps", zero=True, or_none=True)


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """Reading of shards."""

    shuffle_records: int = 16_384  # records shuffled together; the order of shards is shuffled too
    workers: int = 2  # reading processes for each training process; 0 reads in the training process itself
    prefetch: int = 4  # micro-batches that each worker keeps ready
    cache_gb: float = 20.0  # room on this machine for shards of an object store
    cache_folder: str | None = None  # for them; none takes one among the temporary files

    def __post_init__(self) -> None:
        _check_numbers("reading", self, "shuffle_records", "prefetch", "cache_gb")
        _check_numbers("reading", self, "workers", zero=True)


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """Device, precision and use of memory."""

    device: str = "auto"  # a GPU if there is one; or cpu, cuda
    precision: TrainingPrecision = "auto"  # float16 (with a loss scaler) on CUDA; on a CPU bfloat16 if it is fast
    tf32: bool = True  # float32 matrix products of CUDA devices in TF32
    threads: int | None = None  # of one process on the CPU; none keeps torch's choice
    compile: bool = False  # torch.compile
    checkpoint_activations: bool = False  # recompute each block in the backward pass: less memory, a third slower

    def __post_init__(self) -> None:
        check_choice("hardware.precision", self.precision, TrainingPrecision)
        _check_numbers("hardware", self, "threads", or_none=True)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Loss on held-out crops: how often, and on how many."""

    every_steps: int = 1000
    crops: int = 2048

    def __post_init__(self) -> None:
        _check_numbers("validation", self, "every_steps", "crops")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Checkpoints: how often the state is saved, and how many are kept besides the best."""

    every_steps: int = 1000
    keep_last: int = 2

    def __post_init__(self) -> None:
        _check_numbers("checkpoints", self, "every_steps", "keep_last")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Reports and how often they come. ``metrics.jsonl`` is always written."""

    every_steps: int = 10
    pictures_every_steps: int = 2000
    tensorboard: bool = False
    wandb: WandbMode = "off"
    wandb_project: str = "axlstm"

    def __post_init__(self) -> None:
        _check_numbers("log", self, "every_steps", "pictures_every_steps")
        check_choice("log.wandb", self.wandb, WandbMode)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a training run but the model. The defaults are the published recipe.

    Args:
        weights: a model whose weights the run begins with, as `axlstm.load_model` takes it; fresh ones without it.
    """

    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    reading: ReadingConfig = field(default_factory=ReadingConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    most_nonfinite_steps: int = 20  # in a row, before training stops
    weights: str = ""

    def __post_init__(self) -> None:
        _check("most_nonfinite_steps", self.most_nonfinite_steps, self.most_nonfinite_steps > 0, "above zero")
        _check("seed", self.seed, 0 <= self.seed < 2**63, "at least 0 and below 2^63")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(Recipe):
    """One training run. The default model is the published Tiny AxLSTM.

    Raises:
        ConfigError: a value out of its range.
    """

    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        patch_s, lengths = self.model.patch_frames / 100, self.objective.crop_seconds
        fits = all(frames > 0 and frames % self.model.patch_frames == 0 for frames in self.crop_frames)
        fits &= all(abs(100 * seconds - round(100 * seconds)) < 1e-6 for seconds in lengths)
        _check("objective.crop_seconds", lengths, fits, f"multiples of a patch, which has {patch_s:g} s")
        compiled = self.hardware.compile and bool(lengths)
        _check("hardware.compile", self.hardware.compile, not compiled, "false with objective.crop_seconds")
        latent, depth = self.objective.latent, self.model.depth
        if latent.active:
            expected = f"at most {depth}, the model's depth"
            _check("objective.latent.layers", latent.layers, latent.layers <= depth, expected)

    @property
    def crop_frames(self) -> tuple[int, ...]:
        """Return the lengths of crops in log-mel frames of 10 ms; empty where all have the model's window."""
        return tuple(round(100 * seconds) for seconds in self.objective.crop_seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain nested values for JSON."""
        values: dict[str, Any] = _as_lists(asdict(self))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PretrainConfig:
        """Read the result of `to_dict`, also of older versions. An unknown key is a `ConfigError` that names it."""
        hardware = values.get("hardware", {})
        if "precision" in hardware:
            values = {**values, "hardware": {**hardware, "precision": current_precision(hardware["precision"])}}
        config: PretrainConfig = _build(cls, values, "")
        return config


CHANGEABLE = ("log.", "checkpoints.", "validation.every_steps", "reading.workers", "reading.prefetch", "reading.cache_")
"""Fields that may change when a run is resumed, by the beginning of their name. The weights do not depend on them."""


def pretrain_preset(name: str) -> PretrainConfig:
    """Return the published recipe for a published size. Only the model differs between sizes.

    Raises:
        ConfigError: an unknown name. The message lists the known ones.
    """
    return PretrainConfig(model=preset_config(name))


def differing_fields(a: PretrainConfig, b: PretrainConfig) -> dict[str, tuple[Any, Any]]:
    """Return the dotted names of the fields in which two runs differ, with both values."""
    left, right = dict(_flatten(a.to_dict())), dict(_flatten(b.to_dict()))
    return {name: (left[name], right[name]) for name in left if left[name] != right[name]}


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_lists(content) for name, content in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _build(kind: Any, values: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"unknown settings {', '.join(prefix + name for name in unknown)}")
    out = {}
    for name, value in values.items():
        hint = hints[name]
        if is_dataclass(hint):
            value = _build(hint, value, f"{prefix}{name}.")
        elif get_origin(hint) is tuple:
            value = tuple(value)
        out[name] = value
    return kind(**out)


def _check_numbers(section: str, config: Any, *names: str, zero: bool = False, or_none: bool = False) -> None:
    expected = ("zero or above" if zero else "above zero") + (", or none" if or_none else "")
    for name in names:
        value = getattr(config, name)
        fits = or_none if value is None else value > 0 or (zero and value == 0)
        _check(f"{section}.{name}", value, fits, expected)


def _check(name: str, value: Any, fits: bool, expected: str) -> None:
    if not fits:
        raise ConfigError(f"{name}={value!r}: expected {expected}")

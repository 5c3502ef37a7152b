"""Every number of a training run, and the published recipe as its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, get_origin, get_type_hints

from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig, preset_config
from axlstm.options import Loss, Masking, TrainingPrecision, WandbMode, check_choice, current_precision


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the model is asked to predict."""

    mask_ratio: float = 0.5  # share of patches hidden
    masking: Masking = "unstructured"  # or "timestep": all bands of a patch of time together
    loss: Loss = "all"  # over all patches, as released; "masked": over the hidden ones, as the paper's text says
    normalise_targets: bool = False  # bring each target patch to zero mean and unit deviation

    def __post_init__(self) -> None:
        check_choice("objective.masking", self.masking, Masking)
        check_choice("objective.loss", self.loss, Loss)
        _check("objective.mask_ratio", self.mask_ratio, 0 <= self.mask_ratio < 1, "at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW and the batch it sees. ``global_batch`` counts crops over all processes and accumulation."""

    base_learning_rate: float = 1.5e-4  # for a global batch of 256; the peak grows in proportion to the batch
    learning_rate: float | None = None  # the peak itself, instead of base_learning_rate
    final_learning_rate: float = 0.0  # where the cosine ends
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.05  # on parameters that have more than one dimension in the published model
    clip_norm: float | None = None  # largest norm of the whole gradient; the release clips nothing
    global_batch: int = 1024  # published: 4 GPUs x 256
    micro_batch: int = 256  # most crops in one forward pass of one process; the rest is accumulated

    def __post_init__(self) -> None:
        for name in ("base_learning_rate", "eps", "global_batch", "micro_batch"):
            _check(f"optimiser.{name}", getattr(self, name), getattr(self, name) > 0, "above zero")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            _check(f"optimiser.{name}", value, value is None or value > 0, "above zero, or none")
        for name in ("weight_decay", "final_learning_rate"):
            _check(f"optimiser.{name}", getattr(self, name), getattr(self, name) >= 0, "zero or above")
        _check("optimiser.betas", self.betas, all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate at the end of the warm-up."""
        if self.learning_rate is not None:
            return self.learning_rate
        return self.base_learning_rate * self.global_batch / 256


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How long to train: linear warm-up, then half a cosine. Steps, where given, take the place of epochs."""

    epochs: float = 100.0
    warmup_epochs: float = 10.0
    steps: int | None = None
    warmup_steps: int | None = None

    def __post_init__(self) -> None:
        _check("schedule.epochs", self.epochs, self.epochs > 0, "above zero")
        _check("schedule.warmup_epochs", self.warmup_epochs, self.warmup_epochs >= 0, "zero or above")
        _check("schedule.steps", self.steps, self.steps is None or self.steps > 0, "above zero, or none")
        fits = self.warmup_steps is None or self.warmup_steps >= 0
        _check("schedule.warmup_steps", self.warmup_steps, fits, "zero or above, or none")


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """How shards are read."""

    shuffle_records: int = 16_384  # records shuffled together; shards are shuffled as a whole besides
    workers: int = 2  # processes that read, for each training process; 0 reads in the training process itself
    prefetch: int = 4  # micro-batches each of them keeps ready

    def __post_init__(self) -> None:
        _check("reading.shuffle_records", self.shuffle_records, self.shuffle_records > 0, "above zero")
        _check("reading.workers", self.workers, self.workers >= 0, "zero or above")
        _check("reading.prefetch", self.prefetch, self.prefetch > 0, "above zero")


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """Where and in which precision to compute."""

    device: str = "auto"  # a GPU if there is one; or cpu, cuda
    precision: TrainingPrecision = "auto"  # or float32, bfloat16, float16 (CUDA only, with a loss scaler)
    tf32: bool = True  # float32 matrix products of CUDA devices in TF32
    threads: int | None = None  # of one process on the CPU; none leaves torch's choice
    compile: bool = False  # torch.compile
    checkpoint_activations: bool = False  # recompute each block in the backward pass: less memory, a third slower

    def __post_init__(self) -> None:
        check_choice("hardware.precision", self.precision, TrainingPrecision)
        _check("hardware.threads", self.threads, self.threads is None or self.threads > 0, "above zero, or none")


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """How often, and on how many held-out crops, the loss is measured without training on it."""

    every_steps: int = 1000
    crops: int = 2048

    def __post_init__(self) -> None:
        for name in ("every_steps", "crops"):
            _check(f"validation.{name}", getattr(self, name), getattr(self, name) > 0, "above zero")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """How often the whole state is saved, and how many of the states are kept besides the best."""

    every_steps: int = 1000
    keep_last: int = 2

    def __post_init__(self) -> None:
        for name in ("every_steps", "keep_last"):
            _check(f"checkpoints.{name}", getattr(self, name), getattr(self, name) > 0, "above zero")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """What is reported, and how often; ``metrics.jsonl`` is written always."""

    every_steps: int = 10
    pictures_every_steps: int = 2000
    tensorboard: bool = False
    wandb: WandbMode = "off"
    wandb_project: str = "axlstm"

    def __post_init__(self) -> None:
        for name in ("every_steps", "pictures_every_steps"):
            _check(f"log.{name}", getattr(self, name), getattr(self, name) > 0, "above zero")
        check_choice("log.wandb", self.wandb, WandbMode)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One training run; the defaults are the published recipe for the published Tiny AxLSTM.

    Raises:
        ConfigError: a value out of its range.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
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

    def __post_init__(self) -> None:
        fits = self.most_nonfinite_steps > 0
        _check("most_nonfinite_steps", self.most_nonfinite_steps, fits, "above zero")
        _check("seed", self.seed, 0 <= self.seed < 2**63, "at least 0 and below 2^63")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain nested values, ready for JSON."""
        values = asdict(self)
        values["optimiser"]["betas"] = list(self.optimiser.betas)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PretrainConfig:
        """Read what `to_dict` wrote, in this version or an older one; an unknown key is an error that names it."""
        hardware = values.get("hardware", {})
        if "precision" in hardware:
            values = {**values, "hardware": {**hardware, "precision": current_precision(hardware["precision"])}}
        config: PretrainConfig = _build(cls, values, "")
        return config


CHANGEABLE = ("log.", "checkpoints.", "validation.every_steps", "reading.workers", "reading.prefetch")
"""Fields, or beginnings of their names, that may change when a run is resumed: the weights do not depend on them."""


def pretrain_preset(name: str) -> PretrainConfig:
    """The published recipe for a published size; the recipe is one, only the model differs.

    Raises:
        ConfigError: an unknown name; the known ones are listed.
    """
    return PretrainConfig(model=preset_config(name))


def differing_fields(a: PretrainConfig, b: PretrainConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields in which two runs differ, with both values."""
    left, right = dict(_flatten(a.to_dict())), dict(_flatten(b.to_dict()))
    return {name: (left[name], right[name]) for name in left if left[name] != right[name]}


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


def _check(name: str, value: Any, fits: bool, expected: str) -> None:
    if not fits:
        raise ConfigError(f"{name}={value!r}: expected {expected}")

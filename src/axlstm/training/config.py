"""Configure what every training run has: optimiser, schedule, device, checkpoints and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Self, get_origin, get_type_hints

from axlstm.errors import ConfigError
from axlstm.options import TrainingPrecision, WandbMode, check_choice, current_precision


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
    global_batch: int = 1024  # crops or clips of a step; published: 1024, on 4 GPUs
    micro_batch: int = 256  # most crops in one forward pass of one process; more are accumulated

    def __post_init__(self) -> None:
        check_numbers("optimiser", self, "base_learning_rate", "eps", "global_batch", "micro_batch")
        check_numbers("optimiser", self, "learning_rate", "clip_norm", or_none=True)
        check_numbers("optimiser", self, "weight_decay", "final_learning_rate", zero=True)
        check("optimiser.betas", self.betas, all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")

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
        check_numbers("schedule", self, "epochs")
        check_numbers("schedule", self, "warmup_epochs", zero=True)
        check_numbers("schedule", self, "steps", or_none=True)
        check_numbers("schedule", self, "warmup_steps", zero=True, or_none=True)


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
        check_numbers("hardware", self, "threads", or_none=True)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Checkpoints: how often the state is saved, and how many are kept besides the best."""

    every_steps: int = 1000
    keep_last: int = 2

    def __post_init__(self) -> None:
        check_numbers("checkpoints", self, "every_steps", "keep_last")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Reports and how often they come. ``metrics.jsonl`` is always written."""

    every_steps: int = 10
    tensorboard: bool = False
    wandb: WandbMode = "off"
    wandb_project: str = "axlstm"

    def __post_init__(self) -> None:
        check_numbers("log", self, "every_steps")
        check_choice("log.wandb", self.wandb, WandbMode)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings that every run has. A subclass adds those of what is trained."""

    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    most_nonfinite_steps: int = 20  # in a row, before training stops

    def __post_init__(self) -> None:
        check("most_nonfinite_steps", self.most_nonfinite_steps, self.most_nonfinite_steps > 0, "above zero")
        check("seed", self.seed, 0 <= self.seed < 2**63, "at least 0 and below 2^63")

    @property
    def changeable(self) -> tuple[str, ...]:
        """List the fields that may change when a run is resumed, by the beginning of their name.

        The weights do not depend on them.
        """
        return ("log.", "checkpoints.")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain nested values for JSON."""
        values: dict[str, Any] = _as_lists(asdict(self))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the result of `to_dict`, also of older versions. An unknown key is a `ConfigError` that names it."""
        hardware = values.get("hardware", {})
        if "precision" in hardware:
            values = {**values, "hardware": {**hardware, "precision": current_precision(hardware["precision"])}}
        config: Self = _build(cls, values, "")
        return config


def differing_fields(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
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


def check_numbers(section: str, config: Any, *names: str, zero: bool = False, or_none: bool = False) -> None:
    expected = ("zero or above" if zero else "above zero") + (", or none" if or_none else "")
    for name in names:
        value = getattr(config, name)
        fits = or_none if value is None else value > 0 or (zero and value == 0)
        check(f"{section}.{name}", value, fits, expected)


def check(name: str, value: Any, fits: bool, expected: str) -> None:
    if not fits:
        raise ConfigError(f"{name}={value!r}: expected {expected}")

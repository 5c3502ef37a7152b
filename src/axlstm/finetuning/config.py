"""Configure a fine-tuning. The defaults are for some hundred to some thousand clips."""

from __future__ import annotations

from dataclasses import dataclass, field

from axlstm.options import Balance, HeadBegin, HeadPooling, TaskKind, check_choice
from axlstm.training.config import (
    CheckpointConfig,
    OptimiserConfig,
    RunConfig,
    ScheduleConfig,
    check,
    check_numbers,
)


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The head: how a clip's frames become one vector, and how the linear map on it begins."""

    pooling: HeadPooling = "mean"  # of frames; "mean+deviation"; "attention": a learned weight of each frame
    begin: HeadBegin = "probe"  # the best linear probe of the frozen encoder; "zeros"; "model": that of a classifier
    rate: float = 1.0  # its learning rate, as a multiple of the encoder's
    dropout: float = 0.0  # share of the vector's values that are left out in training
    label_smoothing: float = 0.0  # share of each target that is spread over all labels
    balance: Balance = "none"  # "weights": rare labels count for more; "sampling": they are drawn more often

    def __post_init__(self) -> None:
        check_choice("head.pooling", self.pooling, HeadPooling)
        check_choice("head.begin", self.begin, HeadBegin)
        check_choice("head.balance", self.balance, Balance)
        check_numbers("head", self, "rate")
        for name in ("dropout", "label_smoothing"):
            value = getattr(self, name)
            check(f"head.{name}", value, 0 <= value < 1, "at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """The reach of the changes of the encoder."""

    fresh: bool = False  # begin with random weights of the model's sizes, to see what pretraining brought
    layer_decay: float = 0.75  # the learning rate of a block is this times that of the block above it
    frozen_steps: int = 0  # steps at the beginning in which only the head learns
    low_rank: int = 0  # rank of the change of each projection, all else being frozen (Hu et al. 2022); 0: all learn
    drop_path: float = 0.0  # share of windows that the last block passes on unchanged in training; less below it
    ema: float = 0.0  # share of itself that a moving average of the weights keeps at a step; 0: no average

    def __post_init__(self) -> None:
        check("adapt.layer_decay", self.layer_decay, 0 < self.layer_decay <= 1, "above 0, up to 1")
        check_numbers("adapt", self, "frozen_steps", "low_rank", zero=True)
        for name in ("drop_path", "ema"):
            value = getattr(self, name)
            check(f"adapt.{name}", value, 0 <= value < 1, "at least 0 and below 1")
        check("adapt.fresh", self.fresh, not (self.fresh and self.low_rank), "false with adapt.low_rank")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Changes of clips in training, made on their log-mel. Each has the share of clips that get it; 0 turns it off."""

    mixup: float = 0.0  # share of clips mixed with another one, powers and targets alike (Zhang et al. 2018)
    mixup_alpha: float = 0.4  # of the beta distribution of the other one's part
    masks: float = 0.0  # share of clips with a stretch of time and a range of bands hidden (Park et al. 2019)
    mask_s: float = 0.4  # longest hidden stretch
    mask_bands: int = 16  # widest hidden range
    gain: float = 0.0  # share of clips made louder or softer
    gain_db: float = 10.0  # at most, either way
    shift: float = 0.0  # share of clips that begin somewhere else; what goes out at the end comes in at the beginning
    background: str = ""  # folder of sounds that are added to clips
    background_share: float = 0.5
    background_db: tuple[float, float] = (3.0, 20.0)  # of the clip above them

    def __post_init__(self) -> None:
        for name in ("mixup", "masks", "gain", "shift", "background_share"):
            value = getattr(self, name)
            check(f"augment.{name}", value, 0 <= value <= 1, "a share, from 0 to 1")
        check_numbers("augment", self, "mixup_alpha", "mask_s", "mask_bands")
        check_numbers("augment", self, "gain_db", zero=True)
        low, high = self.background_db
        check("augment.background_db", self.background_db, low <= high, "the lowest value first")


@dataclass(frozen=True, kw_only=True)
class StoppingConfig:
    """Validation, and when it ends the run. The best model is that of the highest score."""

    every_epochs: float = 1.0  # between two validations
    patience: int = 5  # validations without a higher score after which training stops
    score: str = ""  # that chooses; empty: top1_acc, mAP, event_onset_200ms_fms or r2, by what is learned

    def __post_init__(self) -> None:
        check_numbers("stopping", self, "every_epochs", "patience")


@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """Reading of clips."""

    crop_s: float = 10.0  # of a longer clip, training sees a stretch of this length, another one each time
    memory_mb: float = 2000.0  # of log-mel that is kept in memory; what does not fit is read again in each epoch
    share: float = 1.0  # of the training clips that are used, to see what fewer labels bring

    def __post_init__(self) -> None:
        check("clips.crop_s", self.crop_s, self.crop_s >= 0.2, "at least 0.2")
        check_numbers("clips", self, "memory_mb", zero=True)
        check("clips.share", self.share, 0 < self.share <= 1, "above 0, up to 1")


@dataclass(frozen=True, kw_only=True)
class ThresholdConfig:
    """The probability from which on a label counts as heard: 0.5, or what reaches one of these in validation."""

    precision: float | None = None
    recall: float | None = None

    def __post_init__(self) -> None:
        check("thresholds", self, self.precision is None or self.recall is None, "a precision or a recall, not both")
        for name in ("precision", "recall"):
            value = getattr(self, name)
            check(f"thresholds.{name}", value, value is None or 0 < value <= 1, "a share above 0, up to 1, or none")


def _optimiser() -> OptimiserConfig:
    return OptimiserConfig(
        learning_rate=3e-4, betas=(0.9, 0.999), weight_decay=0.05, clip_norm=1.0, global_batch=16, micro_batch=16
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(RunConfig):
    """One fine-tuning.

    Args:
        kind: what is learned; None goes by the data.

    Raises:
        ConfigError: a value out of its range.
    """

    kind: TaskKind | None = None
    head: HeadConfig = field(default_factory=HeadConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    thresholds: ThresholdConfig = field(default_factory=ThresholdConfig)
    optimiser: OptimiserConfig = field(default_factory=_optimiser)
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(epochs=20.0, warmup_epochs=1.0))
    checkpoints: CheckpointConfig = field(default_factory=lambda: CheckpointConfig(every_steps=1000, keep_last=1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind is not None:
            check_choice("kind", self.kind, TaskKind)
        compiled = self.hardware.compile
        check("hardware.compile", compiled, not compiled, "false: clips have any length")

    @property
    def changeable(self) -> tuple[str, ...]:
        return (*super().changeable, "clips.memory_mb")

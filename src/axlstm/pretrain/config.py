"""Configure a training run. The defaults are the published recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from axlstm.data.config import InputConfig
from axlstm.model.config import ModelConfig, preset_config
from axlstm.options import ClipLoss, LatentNorm, Loss, Masking, check_choice
from axlstm.training.config import LogConfig, RunConfig, check, check_numbers


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
        check_numbers("objective.latent", self, "weight", "clip_weight", zero=True)
        check_numbers("objective.latent", self, "layers", "masks")
        check_choice("objective.latent.normalise", self.normalise, LatentNorm)
        for name in ("decay", "final_decay"):
            value = getattr(self, name)
            check(f"objective.latent.{name}", value, 0 <= value < 1, "at least 0 and below 1")
        check("objective.latent.masks", self.masks, self.masks == 1 or self.active, "1 where latent targets are off")

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
            check(f"objective.teachers.{name}", weights, fits if count else not weights, expected)
        idle = [folder for folder, *weights in self.weighted if not any(weights)]
        check("objective.teachers.folders", idle, not idle, "a frame weight or a clip weight above zero for each")

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
        check_numbers("objective.clips", self, "weight", "invariance", "variance", "covariance", zero=True)
        check_numbers("objective.clips", self, "width", "temperature")


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
        check("objective.mask_ratio", self.mask_ratio, 0 <= self.mask_ratio < 1, "at least 0 and below 1")
        check_numbers("objective", self, "pixel_weight", zero=True)
        if self.latent.weight:
            expected = "above 0 for latent targets of hidden patches (objective.latent.weight)"
            check("objective.mask_ratio", self.mask_ratio, self.mask_ratio > 0, expected)

    @property
    def crops(self) -> int:
        """Count the crops of each record in a batch."""
        return 2 if self.clips.weight else 1


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """Reading of shards."""

    shuffle_records: int = 16_384  # records shuffled together; the order of shards is shuffled too
    workers: int = 2  # reading processes for each training process; 0 reads in the training process itself
    prefetch: int = 4  # micro-batches that each worker keeps ready
    cache_gb: float = 20.0  # room on this machine for shards of an object store
    cache_folder: str | None = None  # for them; none takes one among the temporary files

    def __post_init__(self) -> None:
        check_numbers("reading", self, "shuffle_records", "prefetch", "cache_gb")
        check_numbers("reading", self, "workers", zero=True)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Loss on held-out crops: how often, and on how many."""

    every_steps: int = 1000
    crops: int = 2048

    def __post_init__(self) -> None:
        check_numbers("validation", self, "every_steps", "crops")


@dataclass(frozen=True, kw_only=True)
class PretrainLogConfig(LogConfig):
    """Reports and how often they come. ``metrics.jsonl`` is always written."""

    pictures_every_steps: int = 2000  # of reconstructions

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers("log", self, "pictures_every_steps")


@dataclass(frozen=True, kw_only=True)
class Recipe(RunConfig):
    """Everything about a training run but the model. The defaults are the published recipe.

    Args:
        weights: a model whose weights the run begins with, as `axlstm.load_model` takes it; fresh ones without it.
    """

    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    reading: ReadingConfig = field(default_factory=ReadingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    log: PretrainLogConfig = field(default_factory=PretrainLogConfig)
    weights: str = ""

    @property
    def changeable(self) -> tuple[str, ...]:
        return (*super().changeable, "validation.every_steps", "reading.workers", "reading.prefetch", "reading.cache_")


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
        check("objective.crop_seconds", lengths, fits, f"multiples of a patch, which has {patch_s:g} s")
        compiled = self.hardware.compile and bool(lengths)
        check("hardware.compile", self.hardware.compile, not compiled, "false with objective.crop_seconds")
        latent, depth = self.objective.latent, self.model.depth
        if latent.active:
            expected = f"at most {depth}, the model's depth"
            check("objective.latent.layers", latent.layers, latent.layers <= depth, expected)

    @property
    def crop_frames(self) -> tuple[int, ...]:
        """Return the lengths of crops in log-mel frames of 10 ms; empty where all have the model's window."""
        return tuple(round(100 * seconds) for seconds in self.objective.crop_seconds)


def pretrain_preset(name: str) -> PretrainConfig:
    """Return the published recipe for a published size. Only the model differs between sizes.

    Raises:
        ConfigError: an unknown name. The message lists the known ones.
    """
    return PretrainConfig(model=preset_config(name))

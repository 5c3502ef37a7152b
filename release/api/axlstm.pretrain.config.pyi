@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    weight: float
    kind: ClipLoss
    width: int
    invariance: float
    variance: float
    covariance: float
    temperature: float
    def __init__(self, *, weight: float = 0.0, kind: ClipLoss = 'vicreg', width: int = 512, invariance: float = 1.0, variance: float = 1.0, covariance: float = 0.04, temperature: float = 0.1) -> None: ...

@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    weight: float
    clip_weight: float
    layers: int
    normalise: LatentNorm
    masks: int
    decay: float
    final_decay: float
    @property
    def active(self) -> bool: ...
    def __init__(self, *, weight: float = 0.0, clip_weight: float = 0.0, layers: int = 8, normalise: LatentNorm = 'dimension', masks: int = 1, decay: float = 0.99, final_decay: float = 0.9995) -> None: ...

@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    mask_ratio: float
    masking: Masking
    loss: Loss
    normalise_targets: bool
    pixel_weight: float
    crop_seconds: tuple[float, ...]
    latent: LatentConfig
    teachers: TeachersConfig
    clips: ClipsConfig
    input: InputConfig
    @property
    def crops(self) -> int: ...
    def __init__(self, *, mask_ratio: float = 0.5, masking: Masking = 'unstructured', loss: Loss = 'all', normalise_targets: bool = False, pixel_weight: float = 1.0, crop_seconds: tuple[float, ...] = (), latent: LatentConfig = LatentConfig(), teachers: TeachersConfig = TeachersConfig(), clips: ClipsConfig = ClipsConfig(), input: InputConfig = InputConfig()) -> None: ...

@dataclass(frozen=True, kw_only=True)
class PretrainConfig(Recipe):
    model: ModelConfig
    @property
    def crop_frames(self) -> tuple[int, ...]: ...
    def __init__(self, *, optimiser: OptimiserConfig = OptimiserConfig(), schedule: ScheduleConfig = ScheduleConfig(), hardware: HardwareConfig = HardwareConfig(), checkpoints: CheckpointConfig = CheckpointConfig(), log: PretrainLogConfig = PretrainLogConfig(), seed: int = 0, most_nonfinite_steps: int = 20, objective: ObjectiveConfig = ObjectiveConfig(), reading: ReadingConfig = ReadingConfig(), validation: ValidationConfig = ValidationConfig(), weights: str = '', model: ModelConfig = ModelConfig()) -> None: ...

@dataclass(frozen=True, kw_only=True)
class PretrainLogConfig(LogConfig):
    pictures_every_steps: int
    def __init__(self, *, every_steps: int = 10, tensorboard: bool = False, wandb: WandbMode = 'off', wandb_project: str = 'axlstm', pictures_every_steps: int = 2000) -> None: ...

@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    shuffle_records: int
    workers: int
    prefetch: int
    cache_gb: float
    cache_folder: str | None
    def __init__(self, *, shuffle_records: int = 16384, workers: int = 2, prefetch: int = 4, cache_gb: float = 20.0, cache_folder: str | None = None) -> None: ...

@dataclass(frozen=True, kw_only=True)
class Recipe(RunConfig):
    objective: ObjectiveConfig
    reading: ReadingConfig
    validation: ValidationConfig
    log: PretrainLogConfig
    weights: str
    @property
    def changeable(self) -> tuple[str, ...]: ...
    def __init__(self, *, optimiser: OptimiserConfig = OptimiserConfig(), schedule: ScheduleConfig = ScheduleConfig(), hardware: HardwareConfig = HardwareConfig(), checkpoints: CheckpointConfig = CheckpointConfig(), log: PretrainLogConfig = PretrainLogConfig(), seed: int = 0, most_nonfinite_steps: int = 20, objective: ObjectiveConfig = ObjectiveConfig(), reading: ReadingConfig = ReadingConfig(), validation: ValidationConfig = ValidationConfig(), weights: str = '') -> None: ...

@dataclass(frozen=True, kw_only=True)
class TeachersConfig:
    folders: tuple[str, ...]
    frame_weights: tuple[float, ...]
    clip_weights: tuple[float, ...]
    @property
    def weighted(self) -> list[tuple[str, float, float]]: ...
    def __init__(self, *, folders: tuple[str, ...] = (), frame_weights: tuple[float, ...] = (), clip_weights: tuple[float, ...] = ()) -> None: ...

@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    every_steps: int
    crops: int
    def __init__(self, *, every_steps: int = 1000, crops: int = 2048) -> None: ...

@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    fresh: bool
    layer_decay: float
    frozen_steps: int
    low_rank: int
    drop_path: float
    ema: float
    def __init__(self, *, fresh: bool = False, layer_decay: float = 0.75, frozen_steps: int = 0, low_rank: int = 0, drop_path: float = 0.0, ema: float = 0.0) -> None: ...

@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    mixup: float
    mixup_alpha: float
    masks: float
    mask_s: float
    mask_bands: int
    gain: float
    gain_db: float
    shift: float
    background: str
    background_share: float
    background_db: tuple[float, float]
    def __init__(self, *, mixup: float = 0.0, mixup_alpha: float = 0.4, masks: float = 0.0, mask_s: float = 0.4, mask_bands: int = 16, gain: float = 0.0, gain_db: float = 10.0, shift: float = 0.0, background: str = '', background_share: float = 0.5, background_db: tuple[float, float] = (3.0, 20.0)) -> None: ...

@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    crop_s: float
    memory_mb: float
    share: float
    def __init__(self, *, crop_s: float = 10.0, memory_mb: float = 2000.0, share: float = 1.0) -> None: ...

@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(RunConfig):
    kind: TaskKind | None
    head: HeadConfig
    adapt: AdaptConfig
    augment: AugmentConfig
    stopping: StoppingConfig
    clips: ClipsConfig
    thresholds: ThresholdConfig
    optimiser: OptimiserConfig
    schedule: ScheduleConfig
    checkpoints: CheckpointConfig
    @property
    def changeable(self) -> tuple[str, ...]: ...
    def __init__(self, *, optimiser: OptimiserConfig = _optimiser(), schedule: ScheduleConfig = (lambda: ScheduleConfig(epochs=20.0, warmup_epochs=1.0))(), hardware: HardwareConfig = HardwareConfig(), checkpoints: CheckpointConfig = (lambda: CheckpointConfig(every_steps=1000, keep_last=1))(), log: LogConfig = LogConfig(), seed: int = 0, most_nonfinite_steps: int = 20, kind: TaskKind | None = None, head: HeadConfig = HeadConfig(), adapt: AdaptConfig = AdaptConfig(), augment: AugmentConfig = AugmentConfig(), stopping: StoppingConfig = StoppingConfig(), clips: ClipsConfig = ClipsConfig(), thresholds: ThresholdConfig = ThresholdConfig()) -> None: ...

@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    pooling: HeadPooling
    begin: HeadBegin
    rate: float
    dropout: float
    label_smoothing: float
    balance: Balance
    def __init__(self, *, pooling: HeadPooling = 'mean', begin: HeadBegin = 'probe', rate: float = 1.0, dropout: float = 0.0, label_smoothing: float = 0.0, balance: Balance = 'none') -> None: ...

@dataclass(frozen=True, kw_only=True)
class StoppingConfig:
    every_epochs: float
    patience: int
    score: str
    def __init__(self, *, every_epochs: float = 1.0, patience: int = 5, score: str = '') -> None: ...

@dataclass(frozen=True, kw_only=True)
class ThresholdConfig:
    precision: float | None
    recall: float | None
    def __init__(self, *, precision: float | None = None, recall: float | None = None) -> None: ...

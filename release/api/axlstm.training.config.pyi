@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    every_steps: int
    keep_last: int
    def __init__(self, *, every_steps: int = 1000, keep_last: int = 2) -> None: ...

@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    device: str
    precision: TrainingPrecision
    tf32: bool
    threads: int | None
    compile: bool
    checkpoint_activations: bool
    def __init__(self, *, device: str = 'auto', precision: TrainingPrecision = 'auto', tf32: bool = True, threads: int | None = None, compile: bool = False, checkpoint_activations: bool = False) -> None: ...

@dataclass(frozen=True, kw_only=True)
class LogConfig:
    every_steps: int
    tensorboard: bool
    wandb: WandbMode
    wandb_project: str
    def __init__(self, *, every_steps: int = 10, tensorboard: bool = False, wandb: WandbMode = 'off', wandb_project: str = 'axlstm') -> None: ...

@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    base_learning_rate: float
    learning_rate: float | None
    final_learning_rate: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    clip_norm: float | None
    global_batch: int
    micro_batch: int
    @property
    def peak_learning_rate(self) -> float: ...
    def __init__(self, *, base_learning_rate: float = 0.00015, learning_rate: float | None = None, final_learning_rate: float = 0.0, betas: tuple[float, float] = (0.9, 0.95), eps: float = 1e-08, weight_decay: float = 0.05, clip_norm: float | None = None, global_batch: int = 1024, micro_batch: int = 256) -> None: ...

@dataclass(frozen=True, kw_only=True)
class RunConfig:
    optimiser: OptimiserConfig
    schedule: ScheduleConfig
    hardware: HardwareConfig
    checkpoints: CheckpointConfig
    log: LogConfig
    seed: int
    most_nonfinite_steps: int
    @property
    def changeable(self) -> tuple[str, ...]: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self: ...
    def __init__(self, *, optimiser: OptimiserConfig = OptimiserConfig(), schedule: ScheduleConfig = ScheduleConfig(), hardware: HardwareConfig = HardwareConfig(), checkpoints: CheckpointConfig = CheckpointConfig(), log: LogConfig = LogConfig(), seed: int = 0, most_nonfinite_steps: int = 20) -> None: ...

@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    epochs: float
    warmup_epochs: float
    steps: int | None
    warmup_steps: int | None
    def __init__(self, *, epochs: float = 100.0, warmup_epochs: float = 10.0, steps: int | None = None, warmup_steps: int | None = None) -> None: ...

@dataclass(frozen=True)
class Evaluation:
    folders: list[Path]
    failures: dict[str, str]
    results: list[Result]
    summary: Summary | None
    report: Path | None
    def __init__(self, folders: list[Path], failures: dict[str, str], results: list[Result], summary: Summary | None, report: Path | None) -> None: ...

@dataclass(frozen=True)
class EvaluationConfig:
    protocol: str | Protocol
    seeds: int | tuple[int, ...]
    exact: bool
    device: str
    precision: ProbePrecision
    threads: int
    @property
    def probes(self) -> Protocol: ...
    @property
    def seed_numbers(self) -> tuple[int, ...]: ...
    @property
    def compute(self) -> Compute: ...
    @property
    def name(self) -> str: ...
    def __init__(self, protocol: str | Protocol = 'published', seeds: int | tuple[int, ...] = 10, exact: bool = False, device: str = 'cpu', precision: ProbePrecision = 'auto', threads: int = 1) -> None: ...

def choose_models(sources: Sequence[str], name: str = '', poolings: Sequence[Pooling] = ('mean',), revision: str | None = None, **options: Unpack[EncoderOptions]) -> list[Candidate]: ...

def embed_models(models: Sequence[Candidate], tasks: str | Path, out: str | Path, device: str = 'cpu', on_progress: OnProgress | None = None) -> tuple[list[Path], dict[str, str]]: ...

def evaluate_models(models: Sequence[Candidate], tasks: str | Path, out: str | Path, config: EvaluationConfig | None = None, on_progress: OnProgress | None = None) -> Evaluation: ...

def probe_folders(folders: Iterable[Path], out: str | Path, config: EvaluationConfig | None = None, on_progress: OnProgress | None = None) -> dict[str, str]: ...

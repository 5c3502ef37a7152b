@dataclass(frozen=True)
class Sample:
    name: str
    kind: str
    description: str
    file_name: str
    licence: str
    author: str
    source: str
    def __init__(self, name: str, kind: str, description: str, file_name: str, licence: str, author: str, source: str) -> None: ...

@dataclass(frozen=True)
class Stroke:
    path: Path
    label: str
    group: str
    title: str
    author: str
    licence: str
    source: str
    def __init__(self, path: Path, label: str, group: str, title: str, author: str, licence: str, source: str) -> None: ...

def sample_names() -> list[str]: ...

def sample_path(name: str) -> Path: ...

def sample_paths() -> list[Path]: ...

@cache
def samples() -> tuple[Sample, ...]: ...

def strokes() -> list[Stroke]: ...

def strokes_table() -> Path: ...

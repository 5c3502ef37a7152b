@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    content: Content
    dtype: RecordPrecision
    record_seconds: float
    min_seconds: float
    silence_dbfs: float
    held_out: float
    grouping: Grouping
    shard_records: int
    seed: int
    def to_dict(self) -> dict[str, Any]: ...
    def __init__(self, *, content: Content = 'logmel', dtype: RecordPrecision = 'float16', record_seconds: float = 10.0, min_seconds: float = 0.5, silence_dbfs: float = -60.0, held_out: float = 0.02, grouping: Grouping = 'file', shard_records: int = 1000, seed: int = 0) -> None: ...

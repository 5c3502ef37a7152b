"""Read the vectors of a folder of parts, whose rows are in parquet files: of windows, or of whole recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.errors import ConfigError
from axlstm.parts.accounts import rows_name
from axlstm.parts.collect import SUMMARY
from axlstm.parts.folders import Folder
from axlstm.parts.plan import Plan
from axlstm.store.records import StoreSettings

_BATCH_ROWS = 4096


@dataclass(frozen=True)
class VectorBlock:
    """Rows of recordings: paths, bounds ``(n,)`` in seconds, and vectors ``(n, D)`` float32."""

    paths: list[str]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Standard:
    """Mean and deviation ``(D,)`` of a data set's vectors; the deviation is 1 where it would be 0."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def apply(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Standardise vectors ``(n, D)``, as search compares them."""
        out: NDArray[np.float32] = ((vectors - self.mean) / self.deviation).astype(np.float32)
        return out


class VectorSet:
    """The vectors of an output of `axlstm embed`.

    Args:
        folder, plan: of the output.

    Raises:
        ConfigError: another command's, one without vectors of windows or recordings, or one that is not complete.
    """

    def __init__(self, folder: Folder, plan: Plan) -> None:
        if plan.job.get("command") != "embed":
            raise ConfigError(f"{folder.name}: parts of another command; expected a folder that axlstm embed wrote")
        self.folder, self.plan = folder, plan
        self.settings = StoreSettings.from_json(plan.job["settings"])
        if not self.settings.scene:
            raise ConfigError(f"{folder.name}: embeddings of frames alone; expected windows or whole recordings")
        if SUMMARY not in folder.names(""):
            raise ConfigError(f"{folder.name}: not complete yet; axlstm status tells how far it is")

    @property
    def source(self) -> Mapping[str, Any]:
        """Return what `axlstm.load_model` is to be called with for more vectors like these, by name."""
        return {name: self.plan.job[name] for name in ("model", "revision", "encoder")}

    def blocks(self) -> Iterator[VectorBlock]:
        """Read all rows in their order; one part at a time is on this machine."""
        import pyarrow.parquet as pq

        bounds = ["start_s", "end_s"] if self.settings.windows else []
        for part in range(self.plan.parts):
            name = rows_name(part)
            with self.folder.at_hand([name]) as here, pq.ParquetFile(here / name) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=["path", "duration_s", "scene", *bounds]):
                    yield self._block(batch)

    def _block(self, batch: Any) -> VectorBlock:
        columns = {name: batch.column(name) for name in batch.schema.names}
        ends = columns.get("end_s", columns["duration_s"]).to_numpy(zero_copy_only=False)
        starts = columns["start_s"].to_numpy(zero_copy_only=False) if "start_s" in columns else np.zeros(len(ends))
        vectors = columns["scene"].flatten().to_numpy(zero_copy_only=False).reshape(len(ends), self.settings.size)
        return VectorBlock(columns["path"].to_pylist(), starts, ends, vectors)

    def measure(self) -> Standard:
        """Measure mean and deviation of all vectors."""
        count, total, squares = 0, np.zeros(self.settings.size), np.zeros(self.settings.size)
        for block in self.blocks():
            values = block.vectors.astype(np.float64)
            count, total, squares = count + len(values), total + values.sum(axis=0), squares + (values**2).sum(axis=0)
        mean = total / max(count, 1)
        deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
        return Standard(mean, np.where(deviation > 0, deviation, 1.0))

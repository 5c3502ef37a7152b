"""Keep the table of recordings that the shards hold and that the tasks test on; it is part of the repository.

It shows whether a recording was heard in pretraining, without fetching anything.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pyarrow
from pyarrow import parquet

from axlstm.data.shards import RecordFiles, open_shards
from axlstm.errors import DataError
from axlstm.files import atomic_path
from recipes.open_audio.leaks import USED
from recipes.open_audio.manifest import Row
from recipes.open_audio.packages import Kind

HOLDINGS = Path(__file__).with_name("holdings.parquet")
Role = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Holding:
    """A recording for pretraining (train), for its validation loss (valid), or for a task's tests."""

    role: Role
    package: str
    kind: Kind
    path: str  # as in the manifest
    group: str  # voice, kit, package
    digest: str  # of the decoded samples
    cluster: int  # equal for all recordings that share audio, re-encoded ones too


def find_holdings(rows: Sequence[Row], shards: Path, tasks: Path) -> list[Holding]:
    """Read the shards themselves, and the table beside the tasks.

    Raises:
        DataError: a recording that the manifest does not know, or tasks without their table.
    """
    table = tasks / USED
    if not table.is_file():
        raise DataError(f"{table}: no such file; the tasks command writes it beside the tasks")
    with table.open(newline="", encoding="utf-8") as file:
        heard: dict[Role, set[str]] = {"test": {row["path"] for row in csv.DictReader(file) if row["tested"] == "1"}}
    for split in ("train", "valid"):
        opened = open_shards(shards, split)
        files = RecordFiles(opened)
        heard[split] = {str(files.facts(number)["source"]) for number in range(len(opened))}
        files.close()
    by_path = {row.path: row for row in rows}
    if unknown := set().union(*heard.values()) - by_path.keys():
        raise DataError(
            f"{min(unknown)} and {len(unknown) - 1} others are not in the manifest: make shards and tasks again"
        )
    return [
        Holding(role, row.package, row.kind, path, row.group, row.digest, row.cluster)
        for role, paths in sorted(heard.items())
        for path in sorted(paths)
        for row in [by_path[path]]
    ]


def write_holdings(holdings: Sequence[Holding], path: Path = HOLDINGS) -> None:
    """Write the table as parquet."""
    columns = {field.name: [getattr(holding, field.name) for holding in holdings] for field in fields(Holding)}
    with atomic_path(path) as part:
        parquet.write_table(pyarrow.table(columns), part, compression="zstd", compression_level=19)


def read_holdings(path: Path = HOLDINGS) -> list[Holding]:
    """Read a table written by `write_holdings`."""
    return [Holding(**row) for row in parquet.read_table(path).to_pylist()]

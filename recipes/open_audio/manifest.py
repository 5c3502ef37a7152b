"""Write the manifest: one row a recording, described by its package, its path and its sound, with its copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from axlstm.errors import DataError
from axlstm.files import atomic_path
from recipes.open_audio import matching, probe
from recipes.open_audio.clusters import clusters_of
from recipes.open_audio.fetch import Report, Work, read_facts
from recipes.open_audio.fingerprint import Fingerprint
from recipes.open_audio.packages import PACKAGES, RULES, Kind, Package
from recipes.open_audio.probe import probe_package

_INPUTS = b"open_audio"
_TRACK_SECONDS = 45.0
"""An effect that is longer is a piece of music or a bed; games rarely say which."""


@dataclass(frozen=True)
class Row:
    """One recording."""

    path: str  # below the folder of the recipe's work
    package: str
    registry: str
    version: str
    licence: str
    kind: Kind
    group: str
    language: str
    label: str
    reserved: str
    duration_s: float
    sample_rate_hz: int
    digest: str
    duplicate_of: str  # the path of the first recording with the same samples; empty for that one itself
    cluster: int  # equal for all recordings that share audio, re-encoded ones too


@dataclass(frozen=True)
class Built:
    """A manifest, and the recordings that could not be read, with reasons."""

    rows: list[Row]
    unreadable: dict[str, str]


def build_manifest(packages: Sequence[Package], work: Work, report: Report) -> Built:
    """Measure all fetched packages, find copies, and write the manifest, unless nothing has changed."""
    present = [(package, facts) for package in packages if (facts := read_facts(work, package.folder)) is not None]
    inputs = _inputs_digest([(package.name, facts.version, facts.sha256) for package, facts in present])
    known = _read_built(work.manifest, inputs)
    if known is not None:
        return known
    rows: list[dict[str, Any]] = []
    fingerprints: list[Fingerprint] = []
    unreadable: dict[str, str] = {}
    for number, (package, facts) in enumerate(present, start=1):
        report(f"measure {number}/{len(present)} {package.name}")
        probes = probe_package(work.of(package.folder), facts.sha256, work.probes(package.folder))
        for recording, its_fingerprint in zip(probes.recordings, probes.fingerprints, strict=True):
            path = f"x/{package.folder}/{recording.path}"
            described = package.describe(recording.path)
            if described is None:
                continue
            if recording.error:
                unreadable[path] = recording.error
                continue
            long_effect = described.kind == "effect" and recording.duration_s > _TRACK_SECONDS
            rows.append(
                {
                    "path": path,
                    "package": package.name,
                    "registry": package.registry,
                    "version": facts.version,
                    "licence": package.licence,
                    **asdict(described),
                    "kind": "music" if long_effect else described.kind,
                    "duration_s": recording.duration_s,
                    "sample_rate_hz": recording.sample_rate_hz,
                    "digest": recording.digest,
                }
            )
            fingerprints.append(its_fingerprint)
    report(f"compare {len(rows)} recordings")
    digests = [row["digest"] for row in rows]
    first: dict[str, str] = {}
    for row in rows:
        row["duplicate_of"] = first.setdefault(row["digest"], row["path"])
        if row["duplicate_of"] == row["path"]:
            row["duplicate_of"] = ""
    clusters = clusters_of(digests, fingerprints)
    built = Built([Row(**row, cluster=cluster) for row, cluster in zip(rows, clusters, strict=True)], unreadable)
    _write(built, work.manifest, inputs)
    return built


def read_manifest(path: Path) -> list[Row]:
    """Read the rows of a manifest.

    Raises:
        DataError: no manifest, or not one of this recipe.
    """
    return [Row(**row) for row in _table(path).to_pylist()]


def _inputs_digest(packages: list[tuple[str, str, str]]) -> str:
    """Digest the manifest's inputs: packages, tables, and versions of measuring and comparing."""
    digest = hashlib.sha256(json.dumps([probe.VERSION, matching.VERSION, packages]).encode())
    for table in (PACKAGES, RULES):
        digest.update(table.read_bytes())
    return digest.hexdigest()


def _read_built(path: Path, inputs: str) -> Built | None:
    """Read the manifest that an earlier run wrote from the same inputs."""
    try:
        table = _table(path)
    except DataError:
        return None
    said = json.loads(table.schema.metadata[_INPUTS])
    if said["inputs"] != inputs:
        return None
    return Built([Row(**row) for row in table.to_pylist()], said["unreadable"])


def _table(path: Path) -> pyarrow.Table:
    try:
        table = parquet.read_table(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no manifest; python -m recipes.open_audio fetch writes it") from error
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a manifest that can be read ({error}); fetch writes it anew") from error
    if table.column_names != [field.name for field in fields(Row)] or _INPUTS not in (table.schema.metadata or {}):
        raise DataError(f"{path}: columns {', '.join(table.column_names)}; expected a manifest of this recipe")
    return table


def _write(built: Built, path: Path, inputs: str) -> None:
    columns = {field.name: [getattr(row, field.name) for row in built.rows] for field in fields(Row)}
    said = json.dumps({"inputs": inputs, "unreadable": built.unreadable})
    table = pyarrow.table(columns).replace_schema_metadata({_INPUTS: said.encode()})
    with atomic_path(path) as part:
        parquet.write_table(table, part)

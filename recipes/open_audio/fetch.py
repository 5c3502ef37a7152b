"""Fetch packages from the registries into folders, each of them complete or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from axlstm.files import write_atomically
from recipes.open_audio.convert import convert_folder
from recipes.open_audio.failures import CorruptArchiveError, GoneError, disk_errors_explained, require_space
from recipes.open_audio.packages import Package
from recipes.open_audio.registry import Registry
from recipes.open_audio.unpack import Limits, remove, unpack

FACTS = "package.json"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """A fetched package, as its ``package.json`` describes it."""

    name: str
    registry: str
    version: str
    sha256: str  # of the archive
    not_converted: list[str]


@dataclass(frozen=True)
class Work:
    """The paths below the folder that the recipe works in."""

    folder: Path

    @property
    def unpacked(self) -> Path:
        """Return the parent of the packages' folders."""
        return self.folder / "x"

    @property
    def manifest(self) -> Path:
        """Return the manifest of all recordings."""
        return self.folder / "manifest.parquet"

    def of(self, package: str) -> Path:
        """Return the folder of a package, by its `Package.folder`."""
        return self.unpacked / package

    def probes(self, package: str) -> Path:
        """Return the file of measurements of a package's recordings."""
        return self.folder / "probes" / f"{package}.npz"


def fetch_packages(
    packages: Sequence[Package],
    work: Work,
    registries: Mapping[str, Registry],
    report: Report,
    limits: Limits | None = None,
) -> dict[str, str]:
    """Fetch and unpack the missing packages; returns those that no registry gave, with reasons.

    Raises:
        FullDiskError: too little space left.
    """
    missing: dict[str, str] = {}
    work.unpacked.mkdir(parents=True, exist_ok=True)
    for number, package in enumerate(packages, start=1):
        if read_facts(work, package.folder) is not None:
            continue
        report(f"{number}/{len(packages)} {package.name}")
        try:
            with disk_errors_explained(work.folder):
                fetched = _fetch(package, work, registries[package.registry], report, limits)
        except (GoneError, CorruptArchiveError) as error:
            missing[package.name] = str(error)
            report(f"left out: {error}")
            continue
        if fetched.version != package.version:
            report(f"note: {package.name} is version {fetched.version}; the table was written from {package.version}")
        for failure in fetched.not_converted:
            report(f"not converted: {package.name}: {failure}")
    return missing


def read_facts(work: Work, package: str) -> Fetched | None:
    """Read what was noted about the package of a folder; None if it is not there."""
    try:
        return Fetched(**json.loads((work.of(package) / FACTS).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _fetch(package: Package, work: Work, registry: Registry, report: Report, limits: Limits | None) -> Fetched:
    offer = registry.offer(package.request)
    require_space(work.folder, offer.packed + 2 * offer.unpacked, package.name)
    archives = work.folder / "archives" / package.folder
    part = work.unpacked / f".{package.folder}.part"
    for attempt in (1, 2):
        remove(archives)
        remove(part)
        archives.mkdir(parents=True)
        archive = registry.download(package.request, archives)
        try:
            unpack(archive, part, limits)
            break
        except CorruptArchiveError as error:
            remove(part)
            if attempt == 2:
                remove(archives)
                raise
            report(f"{error}; fetched once more")
    fetched = Fetched(package.name, package.registry, offer.version, _sha256(archive), convert_folder(part))
    write_atomically(part / FACTS, (json.dumps(asdict(fetched), indent=2) + "\n").encode())
    remove(work.of(package.folder))
    part.rename(work.of(package.folder))
    remove(archives)
    return fetched


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

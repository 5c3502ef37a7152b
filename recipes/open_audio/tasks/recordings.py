"""Find the recordings that tasks choose from: the manifest's rows, by package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from axlstm.errors import AxlstmError
from recipes.open_audio.manifest import Row


class MissingError(AxlstmError):
    """A package or recording that a task is made of is missing."""


class Recordings:
    """The rows of a manifest whose files can be read, and the SoundFonts beside them."""

    def __init__(self, folder: Path, rows: Sequence[Row]) -> None:
        self.folder = folder
        self.by_path = {row.path: row for row in sorted(rows, key=lambda row: row.path)}
        self._of: dict[str, list[Row]] = {}
        for row in self.by_path.values():
            self._of.setdefault(row.package, []).append(row)

    def all(self) -> list[Row]:
        """List every recording, by path."""
        return list(self.by_path.values())

    def of(self, *packages: str) -> list[Row]:
        """List the recordings of some packages, by path.

        Raises:
            MissingError: the manifest lacks one of them.
        """
        missing = [package for package in packages if package not in self._of]
        if missing:
            raise MissingError(f"needs the package {', '.join(missing)}: fetch it")
        return [row for package in packages for row in self._of[package]]

    def of_any(self, *packages: str) -> list[Row]:
        """List the recordings of those packages that were fetched, by path.

        Raises:
            MissingError: none of them was.
        """
        there = [package for package in packages if package in self._of]
        if not there:
            raise MissingError(f"needs one of the packages {', '.join(packages)}: fetch it")
        return self.of(*there)

    def soundfont(self, package: str) -> str:
        """Return the path of a package's SoundFont, below the work folder.

        Raises:
            MissingError: the package is missing, or holds none.
        """
        found = sorted((self.folder / "x" / package).rglob("*.sf2"))
        if not found:
            raise MissingError(f"needs the SoundFont of the package {package}: fetch it")
        return found[0].relative_to(self.folder).as_posix()

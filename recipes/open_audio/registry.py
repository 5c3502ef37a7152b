"""Package registries, used by their ordinary clients: apt-get and npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axlstm.errors import ConfigError
from recipes.open_audio.failures import GoneError

_TIMEOUT_S = 1800


@dataclass(frozen=True)
class Offer:
    """The version of a package in a registry, and roughly its bytes, packed and unpacked."""

    version: str
    packed: int
    unpacked: int


class Registry(Protocol):
    """A place that packages come from."""

    def offer(self, name: str) -> Offer:
        """Look up a package.

        Raises:
            GoneError: the registry does not have it.
        """

    def download(self, name: str, folder: Path) -> Path:
        """Put the archive of a package into an empty folder; returns its path.

        Raises:
            GoneError: the registry does not give it.
        """


class Debian:
    """Packages of the machine's own Debian sources."""

    def offer(self, name: str) -> Offer:
        """Look up a package by ``apt-cache show``."""
        said = _run(["apt-cache", "show", "--no-all-versions", name], Path.cwd(), name)
        fields = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line and line[0] != " ")
        if "Version" not in fields:
            raise GoneError(f"{name}: apt knows no such package (are its lists there? apt-get update fetches them)")
        return Offer(fields["Version"], int(fields["Size"]), int(fields.get("Installed-Size", 0)) * 1024)

    def download(self, name: str, folder: Path) -> Path:
        """Download an archive by ``apt-get download``."""
        _run(["apt-get", "--quiet", "download", name], folder, name)
        return _only_file(folder, "*.deb", name)


class Npm:
    """Packages of npm's registry."""

    def offer(self, name: str) -> Offer:
        """Look up a package by ``npm view``."""
        said = json.loads(_run(["npm", "view", name, "version", "dist.unpackedSize", "--json"], Path.cwd(), name))
        said = said if isinstance(said, dict) else {"version": said}
        unpacked = int(said.get("dist.unpackedSize") or 0)
        return Offer(str(said["version"]), unpacked, unpacked)

    def download(self, name: str, folder: Path) -> Path:
        """Download an archive by ``npm pack``."""
        _run(["npm", "pack", "--silent", name], folder, name)
        return _only_file(folder, "*.tgz", name)


def registries() -> dict[str, Registry]:
    """Return the registries by the names that the table of packages uses.

    Raises:
        ConfigError: a client is not installed.
    """
    for client, package in (("apt-get", "apt"), ("dpkg", "dpkg"), ("npm", "npm")):
        if shutil.which(client) is None:
            raise ConfigError(f"{client} is not installed: apt-get install {package}")
    return {"debian": Debian(), "npm": Npm()}


def _run(command: list[str], folder: Path, name: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise GoneError(f"{name}: {command[0]} gave nothing within {_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        wrong = [line for line in lines if line.startswith(("E:", "npm ERR!", "npm error"))] or lines or ["no reason"]
        raise GoneError(f"{name}: {' '.join(command[:2])} failed: {wrong[0].strip()}") from error
    return done.stdout


def _only_file(folder: Path, pattern: str, name: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise GoneError(f"{name}: expected one {pattern} of the client, got {len(found)} files")
    return found[0]

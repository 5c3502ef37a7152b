"""Sounds, archives and registries made for the tests: no network, no package client but dpkg-free tarballs."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from recipes.open_audio.failures import GoneError
from recipes.open_audio.packages import Kind, Package
from recipes.open_audio.registry import Offer
from recipes.open_audio.shards import ShardConfig

RATE_HZ = 16_000


def tune(seed: int, seconds: float = 2.0, rate: int = RATE_HZ) -> NDArray[np.float32]:
    """Something like a recording: tones that come and go, over noise, ``(n,)``."""
    rng = np.random.default_rng(seed)
    out = rng.normal(0, 0.01, round(seconds * rate))
    time = np.arange(round(0.25 * rate)) / rate
    for begin in range(0, len(out) - len(time) + 1, round(0.1 * rate)):
        tone = np.sin(2 * np.pi * np.geomspace(200, 3000, 24)[rng.integers(24)] * time)
        out[begin : begin + len(time)] += rng.uniform(0.05, 0.3) * tone * np.exp(-time * rng.uniform(4, 20))
    return (out / np.abs(out).max() * 0.5).astype(np.float32)


def encoded(samples: NDArray[np.float32] | NDArray[np.int16], rate: int = RATE_HZ, **form: str | float) -> bytes:
    """Samples as the bytes of a sound file, wav by default."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **({"format": "WAV"} | form))
    return stream.getvalue()


def tgz(files: dict[str, bytes]) -> bytes:
    """Files as the bytes of a compressed tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """Files as the bytes of a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def package(name: str, kind: Kind = "speech", reserved: str = "") -> Package:
    """A row of the table without rules: npm's archives are plain tars."""
    return Package(name, "npm", "1.0", "CC0-1.0", kind, reserved)


class FakeRegistry:
    """A registry of archives in memory; counts what is asked of it."""

    def __init__(self, archives: dict[str, bytes]) -> None:
        self.archives = archives
        self.downloads: list[str] = []

    def offer(self, name: str) -> Offer:
        if name.partition("@")[0] not in self.archives:
            raise GoneError(f"{name}: no such package")
        return Offer("1.0", 1000, 1000)

    def download(self, name: str, folder: Path) -> Path:
        self.downloads.append(name.partition("@")[0])
        path = folder / "archive.tgz"
        path.write_bytes(self.archives[name.partition("@")[0]])
        return path


SMALL = ShardConfig(music_seconds=2.0, music_pieces=2, least_hours=0.0, held_out=0.2, shard_records=4)
TESTED = tune(50)


def quiet(_: str) -> None:
    return


def packages_of_every_kind() -> tuple[list[Package], FakeRegistry]:
    """Every kind, and a package that a task tests on; a re-encoding of one of its sounds is among the effects."""
    kinds: dict[str, Kind] = {"talk": "speech", "tracks": "music", "noises": "effect", "keys": "note"}
    archives = {}
    for number, name in enumerate(kinds):
        seconds = 6.0 if name == "tracks" else 2.0
        sounds = {f"p/{index}.wav": encoded(tune(10 * number + index, seconds)) for index in range(3)}
        archives[name] = tgz(sounds)
    copy = encoded(TESTED, format="OGG", subtype="VORBIS", compression_level=0.9)
    archives["noises"] = tgz({"p/copy.ogg": copy, "p/other.wav": encoded(tune(60))})
    archives["tested"] = tgz({"p/a.wav": encoded(TESTED), "p/b.wav": encoded(tune(51))})
    packages = [package(name, kind) for name, kind in kinds.items()]
    return [*packages, package("tested", "effect", "environment")], FakeRegistry(archives)


def make_shards(folder: Path) -> Path:
    """Shards of two dozen tunes, some of them held out."""
    sounds = folder / "sounds"
    sounds.mkdir()
    for number in range(24):
        (sounds / f"{number:02d}.wav").write_bytes(encoded(tune(number, 2.0 + 0.13 * number)))
    prepare([sounds], folder / "shards", PrepareConfig(held_out=0.2, shard_records=7, content="logmel"), processes=1)
    return folder / "shards"

"""Sound files and shards that the tests of preparation and reading make for themselves."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.data.records import encode_logmel
from tests.seeded import audio


def write_sound(path: Path, seconds: float, seed: int, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """A sound file of sweeps; its kind is that of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.stack([audio(seconds, seed + 1000 * channel, rate_hz) for channel in range(channels)], axis=1)
    soundfile.write(path, samples, rate_hz)
    return path


def logmel(frames: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (3 * rng.standard_normal((frames, 80)) - 4).astype(np.float32)


def write_published_shard(path: Path, records: dict[str, bytes]) -> Path:
    """A shard as the release has them: KEY.data.pyd, and KEY.target.pyd, which nothing may unpickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, content in records.items():
            for name, member in ((f"{key}.data.pyd", content), (f"{key}.target.pyd", b"cos\nsystem\n(S'false'\ntR.")):
                info = tarfile.TarInfo(name)
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
    return path


def published_folder(folder: Path, counts: list[int], frames: int = 230) -> Path:
    """Shards of the given numbers of records."""
    number = 0
    for shard, count in enumerate(counts):
        records = {f"clip{number + i}": encode_logmel(logmel(frames, number + i), "float16") for i in range(count)}
        write_published_shard(folder / f"shard-{shard:03d}.tar", records)
        number += count
    return folder


def read_shard(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def facts_of(folder: Path, split: str) -> list[dict]:
    shards = sorted(folder.glob(f"{split}-*.tar"))
    return [json.loads(c) for path in shards for name, c in read_shard(path).items() if name.endswith(".json")]


def skipped(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]

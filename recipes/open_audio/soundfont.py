"""Read the recordings inside a SoundFont 2 file.

Format: SoundFont Technical Specification 2.04, sections 5 (sdta) and 7.10 (shdr).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from recipes.open_audio.failures import CorruptArchiveError

_HEADER = np.dtype(
    [
        ("name", "S20"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("loop", "<u4", (2,)),
        ("rate", "<u4"),
        ("pitch", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ]
)
_MONO, _RIGHT, _LEFT = 1, 2, 4
_RATES = range(4_000, 192_001)


@dataclass(frozen=True)
class Sample:
    """One recording: its name, its rate in Hz and its samples ``(n, channels)`` as int16."""

    name: str
    rate_hz: int
    samples: np.ndarray


def read_samples(path: Path) -> list[Sample]:
    """Read the recordings of a SoundFont 2 file; the two halves of a stereo recording are joined.

    Raises:
        CorruptArchiveError: no SoundFont, or one whose chunks do not fit.
    """
    content = np.fromfile(path, dtype=np.uint8)
    chunks = _chunks(content, path)
    if "smpl" not in chunks or "shdr" not in chunks:
        raise CorruptArchiveError(f"{path.name}: a SoundFont without the chunks smpl and shdr")
    wave = chunks["smpl"][: len(chunks["smpl"]) // 2 * 2].view("<i2")  # (n,)
    raw = chunks["shdr"]
    headers = raw[: len(raw) // _HEADER.itemsize * _HEADER.itemsize].view(_HEADER)[:-1]  # the last one says EOS
    out = []
    for header in headers:
        kind, rate = int(header["type"]), int(header["rate"])
        begin, end = int(header["start"]), int(header["end"])
        if kind not in (_MONO, _RIGHT, _LEFT) or not 0 <= begin < end <= len(wave) or rate not in _RATES:
            continue
        other = headers[header["link"]] if kind != _MONO and header["link"] < len(headers) else None
        halves = [wave[begin:end]]
        if other is not None and int(other["type"]) + kind == _RIGHT + _LEFT:
            if kind == _RIGHT:
                continue
            from_, to = int(other["start"]), int(other["end"])
            if 0 <= from_ < to <= len(wave) and int(other["rate"]) == rate:
                halves.append(wave[from_:to])
        length = min(map(len, halves))
        name = bytes(header["name"]).split(b"\0")[0].decode("latin-1").strip()
        out.append(Sample(name, rate, np.stack([half[:length] for half in halves], axis=1)))
    return out


def extract(path: Path) -> int:
    """Write a SoundFont's recordings as FLAC into the folder ``PATH.d``; returns how many."""
    folder = path.with_name(path.name + ".d")
    folder.mkdir(exist_ok=True)
    taken: set[str] = set()
    for number, sample in enumerate(read_samples(path)):
        name = re.sub(r"[^\w.#+-]+", "_", sample.name).strip("_.") or "sample"
        if name.lower() in taken:
            name = f"{name}_{number}"
        taken.add(name.lower())
        soundfile.write(folder / f"{name}.flac", sample.samples, sample.rate_hz, format="FLAC", subtype="PCM_16")
    return len(taken)


def _chunks(content: np.ndarray, path: Path) -> dict[str, np.ndarray]:
    if len(content) < 12 or bytes(content[:4]) != b"RIFF" or bytes(content[8:12]) != b"sfbk":
        raise CorruptArchiveError(f"{path.name}: not a SoundFont 2 file")
    found: dict[str, np.ndarray] = {}
    at = 12
    while at + 8 <= len(content):
        name = bytes(content[at : at + 4]).decode("latin-1")
        size = int.from_bytes(bytes(content[at + 4 : at + 8]), "little")
        if name == "LIST":
            at += 12  # its chunks follow, after its own name
            continue
        if at + 8 + size > len(content):
            raise CorruptArchiveError(f"{path.name}: cut short in its chunk {name!r}")
        found[name] = content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found

"""What a folder of results holds, without what differs from run to run by design: times, and checksums of them."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

_TIMES = {
    "train_hours",
    "crops_per_second",
    "data_wait_share",
    "eta_seconds",
    "tflops",
    "time_elapsed",
    "time_in_min",
    "crc32",  # of all of these, among others
    "scores_crc32",
}
_TIMES_TOLD = re.compile(rb"in [0-9]+ s |[0-9.]+ crops a second")  # on the demo's page


def content_of(folder: Path) -> dict[str, Any]:
    """Return what each file below a folder holds, by its name."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): _content(path) for path in files}


def _content(path: Path) -> Any:
    if path.name in ("lock", "lock.holder"):
        return ""
    try:
        if path.suffix in (".npz", ".pt2"):  # a zip notes when its entries were written
            with zipfile.ZipFile(path) as file:
                return {name: _digest(file.read(name)) for name in file.namelist()}
        if path.suffix == ".pt":
            return _state(path)
        if path.suffix == ".json":
            return _without_times(json.loads(path.read_bytes()))
        if path.name == "index.html":
            return _TIMES_TOLD.sub(b"", path.read_bytes())
        if path.name == "metrics.jsonl":
            return [_without_times(json.loads(line)) for line in path.read_bytes().splitlines()]
    except Exception as error:  # a file that cannot be read differs from one that can
        return f"cannot be read: {error}"
    return _digest(path.read_bytes())


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(part) for key, part in value.items() if key not in _TIMES}
    return value


def _state(path: Path) -> str:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    for of_times in ("train_seconds", "metrics_bytes"):
        content["position"].pop(of_times)
    content.pop("checksums")  # of files that are compared themselves, one of which holds times
    return _digest(_flat(content).encode())


def _flat(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{tuple(value.shape)}{_digest(value.numpy().tobytes())}"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key!r}:{_flat(part)}' for key, part in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_flat, value))}]"
    return repr(value)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

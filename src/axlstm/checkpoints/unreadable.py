"""Make the error of a file that is no checkpoint: it says what the file is, where that can be told."""

from __future__ import annotations

from pathlib import Path

from axlstm.audio.open import is_sound
from axlstm.errors import CheckpointError

_WEIGHTS = (".json", ".safetensors", ".pth", ".pt", ".ckpt")  # of these the fault says more than that they are text


def unreadable(file: str | Path, fault: str) -> CheckpointError:
    """Make the error of a file that cannot be read; ``fault`` is the reason where the file is of no known kind."""
    path, head = Path(file), b""
    if path.is_file():
        with path.open("rb") as content:
            head = content.read(64).lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        fault = "a Git LFS pointer, not the file itself; fetch that with `git lfs pull`"
    elif head.startswith((b"<!doctype html", b"<html")):
        fault = "a web page, not a checkpoint; download the file itself (on GitHub and the Hub: its raw form)"
    elif head and is_sound(path):
        fault = (
            "a sound, where a model is expected (a folder, .safetensors, .pth, name or Hub id); "
            "`axlstm embed` takes sounds as FILES and the model as --model"
        )
    elif head and path.suffix not in _WEIGHTS and not any(byte < 9 or 13 < byte < 32 for byte in head):
        fault = (
            "a text file, not a checkpoint; expected a model (a folder, .safetensors, .pth, name or Hub id), or for "
            "`axlstm info` also a sound, embeddings, shards, or a CSV table of sounds that ends with .csv"
        )
    return CheckpointError(f"{file}: {fault}")

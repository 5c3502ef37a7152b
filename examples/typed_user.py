"""Find the recording of a folder that sounds most like another one: ``python typed_user.py owl.wav recordings/``.

Each public name is typed: mypy and pyright check a program like this one as strictly as they can.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import axlstm


def unit(embedder: axlstm.Embedder, clips: Sequence[Path]) -> NDArray[np.float32]:
    """Return a vector of length 1 for each clip, ``(clips, D)``."""
    scenes = np.stack([clip.scene for clip in embedder.embed_batch(clips)])  # (clips, D)
    return np.asarray(scenes / np.linalg.norm(scenes, axis=1, keepdims=True), dtype=np.float32)


def most_alike(query: Path, folder: Path) -> tuple[Path, float]:
    """Find the file of a folder that is most alike, and its cosine."""
    embedder: axlstm.Embedder = axlstm.load_model("axlstm-tiny", pooling="mean+deviation")
    files = sorted(path for path in folder.iterdir() if path != query)
    cosines = unit(embedder, files) @ unit(embedder, [query])[0]  # (files,)
    best = int(cosines.argmax())
    return files[best], float(cosines[best])


if __name__ == "__main__":
    try:
        found, cosine = most_alike(Path(sys.argv[1]), Path(sys.argv[2]))
    except axlstm.AudioError as error:
        sys.exit(f"cannot be read: {error}")
    sys.stdout.write(f"{found} {cosine:.3f}\n")

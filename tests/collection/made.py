"""A small model and small folders of sound, for collections that the tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from axlstm.checkpoints.own import Checkpoint
from axlstm.collection.collection import Collection
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from tests.shards.made import write_sound

TINY = ModelConfig(depth=1, width=16, heads=1, patch_frames=20, patch_bands=40)


def save_model(folder: Path, seed: int = 1) -> Path:
    return Checkpoint(MaskedPatchModel.initialised(TINY, seed), name="small").save(folder)


def make_sounds(folder: Path, count: int = 6) -> Path:
    """Files of 1.5, 2, 2.5, ... seconds; every third lies in a folder of its own."""
    for number in range(count):
        below = f"site{number % 3}" if number % 3 == 0 else ""
        write_sound(folder / below / f"{number:02d}.wav", 1.5 + 0.5 * number, number)
    return folder


def vectors_of(collection: Collection, encoder: str | None = None) -> dict[str, NDArray[np.float16]]:
    """The windows' vectors of each recording, by its path."""
    entry = collection.encoder(encoder)
    rows = collection.tables.execute("SELECT id, path FROM recordings WHERE removed_at IS NULL").fetchall()
    found = {row["path"]: collection.windows(entry, row["id"]) for row in rows}
    for row in rows:
        windows = found[row["path"]]
        assert windows is None or (windows.recording == row["id"]).all()
    return {path: np.array(windows.vectors) for path, windows in found.items() if windows is not None}


def label(collection: Collection, path: str) -> None:
    with collection.transaction():
        collection.tables.execute(
            "INSERT INTO labels (recording, start_s, end_s, label, verdict, author, source, at) "
            "SELECT id, 0, 1, 'wren', 'yes', 'me', 'test', 'now' FROM recordings WHERE path = ? AND removed_at IS NULL",
            (path,),
        )


def labelled(collection: Collection) -> dict[str, bool]:
    """The paths of the recordings with labels, and whether they are present."""
    rows = collection.tables.execute(
        "SELECT path, removed_at IS NULL AS present FROM labels JOIN recordings ON recordings.id = recording"
    )
    return {row["path"]: bool(row["present"]) for row in rows}

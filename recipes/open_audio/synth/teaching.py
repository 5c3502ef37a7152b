"""Join rendered shards with real ones, and write the targets of the rendered records as teachers of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.data.index import INDEX_NAME, read_index, write_index
from axlstm.data.taught import write_known_targets
from axlstm.errors import DataError
from recipes.open_audio.synth.labels import (
    HOP_MS,
    NOTE_SIZE,
    PHONE_SIZE,
    WORD_SIZE,
    Labels,
    note_targets,
    phone_targets,
    word_targets,
)
from recipes.open_audio.synth.render import FOLDER, read_labels

SHARDS = "synth_shards"
_PREFIX = "synth-"
_VERSION = 1  # of the targets: another one is another teaching

Targets = Callable[[Labels, float, float], NDArray[np.float32] | None]

TARGETS: dict[str, tuple[int, Targets]] = {
    "phones": (PHONE_SIZE, phone_targets),
    "words": (WORD_SIZE, word_targets),
    "notes": (NOTE_SIZE, note_targets),
}
"""Size of each kind of targets, and what makes them of labels; each is a teacher of its own."""


def join_shards(real: Path, rendered: Path, out: Path) -> Path:
    """Make a folder with the shards of two folders. Files are linked, not copied.

    Raises:
        DataError: shards of different content, as log-mel and sound.
    """
    index, more = read_index(real), read_index(rendered)
    if index["content"] != more["content"]:
        raise DataError(f"{real} holds {index['content']} and {rendered} {more['content']}; prepare both alike")
    out.mkdir(parents=True, exist_ok=True)
    for name, split in index["splits"].items():
        added = more["splits"].get(name, {"shards": [], "records": 0, "hours": 0.0})
        for folder, prefix, shards in ((real, "", split["shards"]), (rendered, _PREFIX, added["shards"])):
            for shard in shards:
                path = out / f"{prefix}{shard['name']}"
                if not path.exists():
                    os.link(folder / shard["name"], path)
        split["shards"] += [{**shard, "name": f"{_PREFIX}{shard['name']}"} for shard in added["shards"]]
        split["records"] += added["records"]
        split["hours"] += added["hours"]
    if not (out / INDEX_NAME).is_file() or read_index(out)["splits"] != index["splits"]:
        write_index(out, index)
    return out


def teach_labels(work: Path, shards: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Write a folder of targets into ``out`` for each of `TARGETS`; returns what each ``teacher.json`` holds.

    Args:
        work: folder with the rendered recordings.
        shards: a folder in which some records are of rendered recordings; the others have no targets.

    Raises:
        DataError: labels that are missing, or no record of a rendered recording.
    """
    return {
        name: write_known_targets(
            shards,
            out / name,
            {"source": f"labels of rendered recordings: {name}", "version": _VERSION},
            size,
            (HOP_MS / 2, HOP_MS),
            _of_record(work, make),
        )
        for name, (size, make) in TARGETS.items()
    }


def _of_record(work: Path, make: Targets) -> Callable[[Mapping[str, Any]], NDArray[np.float32] | None]:
    def targets(facts: Mapping[str, Any]) -> NDArray[np.float32] | None:
        source = Path(facts.get("source", ""))
        if not source.parts or source.parts[0] != FOLDER:  # a real recording
            return None
        return make(read_labels(work / source), float(facts["start_s"]), float(facts["seconds"]))

    return targets

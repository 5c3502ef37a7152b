"""Note the sources of a task's clips: a later run keeps the clips whose source is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from axlstm.files import write_atomically, writing

NOTES_FILE = "clips.jsonl"  # beside the folders of clips, with a line for each clip

Source = list[Any]  # JSON values that differ whenever the clip would


def keep_current(folder: Path, wanted: Mapping[str, Source]) -> set[str]:
    """Remove the clips that are stale; returns the names of those that need not be written again.

    ``wanted`` has the source of each clip (``split/name.wav``). Files that neither it nor the notes name stay.
    """
    noted = read_notes(folder)
    kept = {name for name, source in wanted.items() if is_current(folder, noted, name, source)}
    for path in folder.glob("*/*.wav"):
        name = f"{path.parent.name}/{path.name}"
        if name not in kept and (name in noted or name in wanted):
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(
        folder / NOTES_FILE, "".join(_to_line(name, wanted[name]) for name in wanted if name in kept).encode()
    )
    return kept


def note_clip(folder: Path, name: str, source: Source) -> None:
    """Note the source of a clip that has been written."""
    path = folder / NOTES_FILE
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(_to_line(name, source))


def is_current(folder: Path, notes: Mapping[str, Source], name: str, source: Source) -> bool:
    """Tell whether a clip is there and was made from ``source``."""
    return notes.get(name) == source and (folder / name).is_file()


def read_notes(folder: Path) -> dict[str, Source]:
    """Read the sources of the clips in a folder by name, as `note_clip` noted them."""
    path = folder / NOTES_FILE
    notes: dict[str, Source] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        with suppress(ValueError, TypeError):  # a line cut short by an interruption: its clip is written again
            name, source = json.loads(line)
            notes[name] = source
    return notes


def _to_line(name: str, source: Source) -> str:
    return json.dumps([name, source]) + "\n"

"""Write folders that are new: whole, or not at all; and refuse to write over what is no output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axlstm.audio.find import EXTENSIONS
from axlstm.collection.description import is_collection
from axlstm.errors import ConfigError
from axlstm.files import Part, writing


def check_is_new(out: Path) -> None:
    """Refuse a folder that holds something, or a file, with a `ConfigError`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: there already; choose a folder that is not there or is empty")


def check_is_no_source(out: Path) -> None:
    """Refuse a file that would take the place of a sound or of a collection's own file, with a `ConfigError`."""
    if out.exists() and out.suffix.lower() in EXTENSIONS:
        raise ConfigError(f"{out}: there already, and a sound by its name; choose another name for the output")
    if is_collection(out.parent):
        raise ConfigError(f"{out}: in the folder of a collection, which holds its own files alone; choose another one")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that takes its name when the block ends without an error.

    Raises:
        ConfigError: there is something of that name already.
        WriteError: it cannot be made or renamed.
    """
    check_is_new(out)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Part(out, folder=True)
    try:
        yield part.path
        with writing(out):
            umask = os.umask(0)
            os.umask(umask)
            part.path.chmod(0o777 & ~umask)  # a part is for its owner alone
            if out.exists():
                out.rmdir()
            part.path.replace(out)
    finally:
        part.discard()

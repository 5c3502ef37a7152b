"""Open the folder of an output by its name."""

from __future__ import annotations

from pathlib import Path

from axlstm.parts.folders import Folder, LocalFolder
from axlstm.parts.store_folder import StoreFolder
from axlstm.remote import is_url


def open_folder(name: str) -> Folder:
    """Open the folder of an output: a path, or a URL. It need not be there yet.

    Raises:
        ConfigError: a URL with credentials in it, or one that needs a library that is not installed.
    """
    return StoreFolder(name) if is_url(name) else LocalFolder(Path(name))

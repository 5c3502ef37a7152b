"""Write and check the file that says that a folder is a collection."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from axlstm.bounds import check_types, parse_object
from axlstm.collection.folder import now
from axlstm.collection.schema import FILE
from axlstm.errors import DamageError, DataError
from axlstm.files import write_atomically
from axlstm.seals import object_is_whole, seal_object

FORMAT_VERSION = 1
_NAME = "collection.json"
_FORMAT = "axlstm collection"


def write_description(folder: Path) -> None:
    """Say that a folder is a collection.

    Raises:
        WriteError: it cannot be written.
    """
    about = {"format": _FORMAT, "version": FORMAT_VERSION, "id": uuid.uuid4().hex, "created_at": now()}
    write_atomically(folder / _NAME, json.dumps(seal_object(about), indent=2).encode())


def is_collection(folder: Path) -> bool:
    """Tell whether a folder says that it is a collection."""
    return (folder / _NAME).is_file()


def check_description(folder: Path) -> None:
    """Refuse a folder that is no collection, or one that this package cannot read.

    Raises:
        DataError: it is no collection, a half-copied one, or one of a newer version of this package.
        DamageError: its description is damaged.
    """
    path = folder / _NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        kind = "no collection" if not (folder / FILE).exists() else "a half-copied collection; copy the whole folder"
        raise DataError(f"{folder}: {kind} ({_NAME} is not there)") from error
    except NotADirectoryError as error:
        raise DataError(f"{folder}: a file; expected the folder of a collection") from error
    try:
        about = parse_object(content)
        check_types(about, {"format": str, "version": int})
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format'][:60]!r}, expected {_FORMAT!r}")
        if not object_is_whole(about):
            raise ValueError("its checksum does not fit")
    except ValueError as error:
        raise DamageError(f"{path}: damaged ({error}); put back a copy of this file") from error
    if about["version"] > FORMAT_VERSION:
        raise DataError(
            f"{folder}: a collection of version {about['version']}, and this package knows {FORMAT_VERSION}: "
            "install a newer axlstm"
        )

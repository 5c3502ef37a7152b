"""Read and write the index of a folder of shards, ``index.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from axlstm.bounds import MOST_LIST_BYTES, check_types, parse_object
from axlstm.errors import DamageError, DataError, first_line
from axlstm.files import write_atomically
from axlstm.options import Content
from axlstm.seals import object_is_whole, seal_object

INDEX_NAME = "index.json"
FORMAT_VERSION = 1


def write_index(directory: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Write the index of a folder, and return it with its checksum."""
    sealed = seal_object(index)
    write_atomically(directory / INDEX_NAME, (json.dumps(sealed, indent=2) + "\n").encode())
    return sealed


def read_index(directory: Path) -> dict[str, Any]:
    """Read the index of a folder.

    Raises:
        DamageError: an index that cannot be read, or is not as it was written.
        DataError: one of a newer version.
    """
    path = directory / INDEX_NAME
    try:
        index = parse_object(path.read_bytes(), MOST_LIST_BYTES)
        if not object_is_whole(index):
            raise ValueError("its checksum is another one")
        check_types(index, {"format_version": int})
        if index["format_version"] > FORMAT_VERSION:
            raise DataError(
                f"{path}: format_version {index['format_version']} is above {FORMAT_VERSION}; install a newer axlstm"
            )
        _check(index)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DamageError(
            f"{path}: not an index of shards that can be read ({first_line(error)}); run the same axlstm prepare again "
            "to have it made anew"
        ) from error
    return index


def _check(index: Mapping[str, Any]) -> None:
    check_types(index, {"content": str, "splits": dict})
    if index["content"] not in get_args(Content):
        raise ValueError(f"content is {index['content']!r:.60}, expected {' or '.join(get_args(Content))}")
    for split in index["splits"].values():
        if not isinstance(split, dict):
            raise ValueError("a split that is no object")
        check_types(split, {"shards": list})
        for shard in split["shards"]:
            if not isinstance(shard, dict):
                raise ValueError("a shard that is no object")
            check_types(shard, {"name": str})
            check_types({"sha256": ""} | shard, {"sha256": str})
            if Path(shard["name"]).name != shard["name"] or not shard["name"].isprintable():
                raise ValueError("a shard whose name is no name of a file in the folder")

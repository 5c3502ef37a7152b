"""What a folder of results holds, without what differs from run to run by design: times, and checksums of them."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

_TIMES = {
    "train_hours",
    "crops_per_second",
    "clips_per_second",
    "data_wait_share",
    "eta_seconds",
    "tflops",
    "time_elapsed",
    "time_in_min",
    "created_at",
    "trained_at",
    "crc32",  # of all of these, among others
    "scores_crc32",
}
_LANCE = ".lance"
_TIMES_TOLD = re.compile(rb"in [0-9]+ s |[0-9.]+ crops a second")  # on the demo's page


def content_of(folder: Path) -> dict[str, Any]:
    """Return what each file below a folder holds, by its name; a collection as a whole holds what its tables say.

    So does a table of LanceDB, whose files have random names.
    """
    content: dict[str, Any] = {}
    for name, path in _files(folder):
        if name not in content:
            is_table = path.suffix == _LANCE and path.is_dir()
            content[name] = (_lance(path) if is_table else _collection(path)) if path.is_dir() else _content(path)
    return content


def names_of(folder: Path) -> list[str]:
    """List the names of `content_of`."""
    return sorted({name for name, _ in _files(folder)})


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """List the files below a folder. Those that belong to a collection are given as its folder.

    Which parts it has depends on how often its making was interrupted, and so do the files that SQLite keeps beside
    its own while they are in use.
    """
    collections = {path.parent for path in folder.rglob("collection.json")}
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        if path.name.endswith((".sqlite-wal", ".sqlite-shm")):
            continue  # SQLite's own; of a collection they are among its files
        whole = next((parent for parent in path.parents if parent in collections), None)
        mine = whole is not None and _is_of_collection(path.relative_to(whole).as_posix())
        if not mine:
            whole = next((parent for parent in path.parents if parent.suffix == _LANCE and parent != folder), None)
            mine = whole is not None
        yield (path.relative_to(folder).as_posix(), path) if not mine else (_name(folder, whole), whole)


def _name(folder: Path, whole: Path | None) -> str:
    assert whole is not None
    return f"{whole.relative_to(folder).as_posix()}/"


def _lance(folder: Path) -> Any:
    """Return what a table of LanceDB holds: read by another process, since its threads do not survive a fork."""
    import subprocess
    import sys

    code = (
        "import hashlib, lancedb, sys; table = lancedb.connect(sys.argv[1]).open_table(sys.argv[2]).to_arrow(); "
        "print(table.num_rows, hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(folder.parent), folder.stem]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout if ended.returncode == 0 else f"cannot be read: {ended.stderr}"


def _is_of_collection(name: str) -> bool:
    return (
        re.fullmatch(
            r"collection\.(json|sqlite(-wal|-shm|-journal)?)|parts/\d{8}\.arrow|lock(\.holder)?|cache/[^.].*", name
        )
        is not None
    )


def _collection(folder: Path) -> Any:
    """Return what a collection holds, without times, numbers and names of parts, but for vectors by their recording.

    Parts that no table names are told.
    """
    from axlstm.collection.changes import find_fault, list_parts
    from axlstm.collection.collection import open

    try:
        with open(folder) as collection:
            tables = collection.tables
            held: dict[str, Any] = {"damage": [find_fault(collection, part) for part in list_parts(collection)]}
            named = {folder / row["file"] for row in tables.execute("SELECT file FROM parts")}
            held["strays"] = sorted(path.name for path in (folder / "parts").iterdir() if path not in named)
            recordings = {row["id"]: _row(row, "id", "added_at") for row in tables.execute("SELECT * FROM recordings")}
            for recording in recordings.values():
                recording["removed_at"] = recording["removed_at"] is not None
            held["recordings"] = sorted(map(str, recordings.values()))
            held["labels"] = [
                {
                    **_row(row, "id", "recording", "at", "undone_at"),
                    "recording": recordings[row["recording"]]["path"],
                    "is_undone": row["undone_at"] is not None,
                }
                for row in tables.execute("SELECT * FROM labels ORDER BY id")
            ]
            held["skipped"] = [_row(row, "at") for row in tables.execute("SELECT * FROM skipped ORDER BY path")]
            for entry in collection.encoders():
                mean, deviation = collection.statistics(entry)
                held[f"encoder {entry}"] = _digest(mean.tobytes() + deviation.tobytes())
                held[f"map {entry}"] = _map(collection, entry)
                for span in collection.spans(entry):
                    windows = collection.part(entry, span.part).cut(span.first_row, span.rows)
                    assert (windows.recording == span.recording).all()
                    values = [windows.start_s, windows.end_s, windows.vectors]
                    name = f"{entry.name} {recordings[span.recording]['path']}"
                    held[name] = _digest(b"".join(value.tobytes() for value in values))
            return held
    except Exception as error:
        return f"cannot be read: {error}"


def _map(collection: Any, entry: Any) -> str | None:
    """Return where the map of an encoder has its windows, by their recordings' paths; None if there is no map."""
    from axlstm.collection.maps.kept import read_map
    from axlstm.collection.search.table import WindowTable
    from axlstm.errors import DataError

    try:
        table = WindowTable(collection, entry)
    except DataError:  # no windows
        return None
    drawn = read_map(collection.folder, table)
    return None if drawn is None else _digest(drawn.places.tobytes())


def _row(row: Any, *without: str) -> dict[str, Any]:
    return {name: row[name] for name in row.keys() if name not in without}  # noqa: SIM118 (iterating gives values)


def _content(path: Path) -> Any:
    if path.name in ("lock", "lock.holder", "_events.jsonl"):
        return ""
    try:
        if path.suffix in (".npz", ".pt2"):  # a zip notes when its entries were written
            with zipfile.ZipFile(path) as file:
                return {name: _digest(file.read(name)) for name in file.namelist()}
        if path.suffix == ".pt":
            return _state(path)
        if path.suffix == ".json":
            return _without_times(json.loads(path.read_bytes()))
        if path.name == "usearch.index":  # a graph, which is drawn at random
            from usearch.index import Index

            index = Index.restore(str(path))
            return [(key, _digest(index.get(key).tobytes())) for key in sorted(map(int, index.keys))]
        if path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as tables:
                return _digest("\n".join(tables.iterdump()).encode())
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

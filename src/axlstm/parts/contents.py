"""Bring the content of a recording to this machine, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from axlstm.errors import AudioError, StoreError
from axlstm.files import writing
from axlstm.parts.entries import Entry
from axlstm.parts.plan import Plan, absolute
from axlstm.remote import Store, is_url, skip_reason


def is_remote(entry: Entry) -> bool:
    """Tell whether the content of a recording has to be fetched."""
    return is_url(entry.path)


def fetch(plan: Plan, entry: Entry, copies: Path) -> Path:
    """Return a file with the content of a recording: its own, or a copy among ``copies``, which the caller removes.

    Raises:
        AudioError: it is not there any more, may not be read, or has changed since it was planned.
        StoreError: the store fails.
        WriteError: the copy cannot be written.
    """
    if not is_remote(entry):
        return absolute(plan, entry.path)
    store = Store(entry.path)
    with writing(copies), NamedTemporaryFile(dir=copies, delete=False) as copy:
        try:
            try:
                for block in store.ranges(entry.path, _size(store, entry)):
                    copy.write(block)
            except StoreError:
                if not _has_changed(store, entry):  # to a shorter one
                    raise
            if not _has_changed(store, entry):  # asked behind it: what was read is what was planned
                return Path(copy.name)
            fault = AudioError(f"{entry.path}: changed since it was planned; embed it into another OUT")
        except (FileNotFoundError, PermissionError) as error:
            fault = skip_reason(entry.path, error)
    Path(copy.name).unlink()
    raise fault


def _has_changed(store: Store, entry: Entry) -> bool:
    return entry.stamp not in ("", store.info(entry.path)["stamp"])


def _size(store: Store, entry: Entry) -> int:
    if entry.size_bytes >= 0:
        return entry.size_bytes
    size = store.info(entry.path)["size"]
    if size is None:
        raise AudioError(f"{entry.path}: the server does not say how long it is")
    return int(size)

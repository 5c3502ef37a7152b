"""Keep an output in a store behind a URL. It has no renames and needs none: a file that is there is whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

from axlstm.files import writing
from axlstm.parts.folders import DIGEST_BYTES, EVENTS, PLAN
from axlstm.remote import Store


class StoreFolder:
    """A folder of a store. See `axlstm.parts.folders.Folder`.

    Nothing holds it for one process alone. Two that drive one output do some parts twice, which gives the same bytes.
    """

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self._store = Store(url)

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        url = self._url(name)
        return self._store.read(url, begin, self._size(url) if end is None else end)

    def write(self, name: str, content: bytes) -> None:
        self._store.write(self._url(name), content)

    @contextmanager
    def publish(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="axlstm-") as folder:
            path = Path(folder, name.rpartition("/")[2])
            path.touch()
            yield path
            self._store.put(path, self._url(name))

    def append(self, name: str, line: bytes) -> None:
        """Write the line as a file of its own, below a folder of that name."""
        self._store.write(self._url(f"{name}/{time.time_ns():020d}-{os.getpid()}-{uuid4().hex[:8]}"), line)

    def lines(self, name: str) -> Iterator[bytes]:
        for one in self.names(name):
            yield self.read(f"{name}/{one}")

    def names(self, folder: str) -> list[str]:
        return [url.rpartition("/")[2] for url, _ in self._listed(folder)]

    def clear(self) -> None:
        """Do nothing: a store takes a file whole or not at all."""

    def remove(self, name: str) -> None:
        self._store.remove(self._url(name))

    @contextmanager
    def at_hand(self, names: Sequence[str]) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="axlstm-") as folder:
            for name in names:
                path, url = Path(folder, name), self._url(name)
                with writing(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as file:
                        file.writelines(self._store.ranges(url, self._size(url)))
            yield Path(folder)

    def erase(self) -> None:
        self.remove(PLAN)
        for folder in ("", "_parts", "_plan", EVENTS):
            for url, about in self._listed(folder):
                if about["type"] != "directory":
                    self._store.remove(url)

    def digest(self, name: str) -> tuple[int, str]:
        url = self._url(name)
        digest, size = hashlib.blake2b(digest_size=DIGEST_BYTES), self._size(url)
        for block in self._store.ranges(url, size):
            digest.update(block)
        return size, digest.hexdigest()

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _listed(self, folder: str) -> list[tuple[str, dict[str, Any]]]:
        try:
            return self._store.list(self._url(folder))
        except FileNotFoundError:
            return []

    def _url(self, name: str) -> str:
        return f"{self.name}/{name}" if name else self.name

    def _size(self, url: str) -> int:
        return int(self._store.info(url)["size"])

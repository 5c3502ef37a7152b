"""List the recordings of folders and of stores, each once, with an account of all else that is met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from axlstm.audio.find import EXTENSIONS, find_audio
from axlstm.errors import AudioError
from axlstm.files import is_pipe, readable_name
from axlstm.parts.entries import Entry
from axlstm.remote import Store, check_url, is_url


class Listing:
    """Lists sources one after another: local ones by `axlstm.audio.find.find_audio`, then those behind URLs.

    Args:
        sources: paths and URLs of files and folders.
        without: a folder that is not searched, such as the output.

    Raises:
        ConfigError: a URL with credentials in it.
    """

    def __init__(self, sources: Sequence[str], without: str) -> None:
        self._paths = [source for source in sources if not is_url(source)]
        self._urls = list(dict.fromkeys(source.rstrip("/") for source in sources if is_url(source)))
        for url in self._urls:
            check_url(url)
        self._without = without
        self.not_sound: Counter[str] = Counter()
        """Entries that are not sound by suffix, complete once all are listed."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield everything.

        Raises:
            AudioError: a source that is not there, or nothing is sound.
            StoreError: a store fails.
        """
        count = 0
        for entry in self._entries():
            count += 1
            yield entry
        if not count:
            raise AudioError(
                f"no sound files in {', '.join([*self._paths, *self._urls])}; looked for {' '.join(EXTENSIONS)}"
            )

    def _entries(self) -> Iterator[Entry]:
        if self._paths or not self._urls:
            yield from self._local()
        listed: set[str] = set()  # folders, since one source may lie in another
        for url in self._urls:
            yield from _of_store(url, self._without.rstrip("/"), self.not_sound, listed)

    def _local(self) -> Iterator[Entry]:
        """Describe what is found in folders, in its order, and behind it what is left out."""
        found = find_audio(map(Path, self._paths), without=None if is_url(self._without) else Path(self._without))
        self.not_sound.update(found.not_sound)
        for file in found.files:
            if is_pipe(file):
                yield Entry(str(file), skip="a pipe, which can be read only once; give a file for OUT to embed it")
                continue
            try:
                facts = file.stat()
            except OSError:
                yield Entry(str(file))  # the part says what is wrong with it
            else:
                yield Entry(str(file), facts.st_size, str(facts.st_mtime_ns))
        for path, reason in found.skipped:
            yield Entry(str(path), skip=readable_name(reason))


def _of_store(url: str, without: str, not_sound: Counter[str], listed: set[str]) -> Iterator[Entry]:
    """List a file, or a folder with all below it: its files, then its folders."""
    store = Store(url)
    try:
        info = store.info(url)
    except FileNotFoundError as error:
        raise AudioError(f"{url}: no such file or folder") from error
    if info["type"] != "directory":
        yield _describe(url, info)
        return
    waiting = [url]
    while waiting:
        folder = waiting.pop()
        if folder in listed or folder == without:
            continue
        listed.add(folder)
        below = []
        for name, info in store.list(folder):
            suffix = PurePosixPath(name).suffix.lower()
            if info["type"] == "directory":
                below.append(name)
            elif suffix in EXTENSIONS:
                yield _describe(name, info)
            else:
                not_sound[suffix] += 1
        waiting += reversed(below)


def _describe(url: str, info: dict[str, Any]) -> Entry:
    return Entry(url, -1 if info["size"] is None else int(info["size"]), info["stamp"])

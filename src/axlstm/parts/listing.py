"""List the recordings of folders, stores, and tar, zip and parquet files, with an account of all else that is met."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from axlstm.audio.find import EXTENSIONS, find_audio, kind_of, named_as_sound
from axlstm.errors import AudioError
from axlstm.files import is_pipe, readable_name
from axlstm.parts.contents import open_corpus, stamp_of
from axlstm.parts.corpora import is_corpus
from axlstm.parts.entries import Entry, describe_file
from axlstm.remote import Store, check_url, is_url

_FOLDERS_AHEAD = 8  # of a store, whose answers take long and cost nothing here


class Listing:
    """Lists sources: local folders and files by `axlstm.audio.find.find_audio`, then the others one after another.

    Args:
        sources: paths and URLs of sound files, folders, and tar, zip and parquet files. In the last part of a URL,
            ``*`` stands for any name. A tar, zip or parquet file is opened only if it is named, and not if it is met
            in a folder.
        without: a folder that is not searched, such as the output.

    Raises:
        ConfigError: a URL with credentials in it.
    """

    def __init__(self, sources: Sequence[str], without: str) -> None:
        self._sources = list(dict.fromkeys(source.rstrip("/") if is_url(source) else source for source in sources))
        for source in filter(is_url, self._sources):
            check_url(source)
        self._without = without.rstrip("/")
        self._base = str(Path.cwd())
        self._listed: set[str] = set()  # folders of stores, since one source may lie in another
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
            raise AudioError(f"no sound files in {', '.join(self._sources)}; looked for {' '.join(EXTENSIONS)}")

    def check(self) -> None:
        """Ask for each source whether it is there, before anything slow is done for it.

        Raises:
            AudioError: one is not.
            StoreError: a store fails.
        """
        for source in self._sources:
            if not is_url(source):
                if not os.path.lexists(source):
                    raise AudioError(f"{source}: no such file or folder")
            elif "*" not in source.rpartition("/")[2]:
                _find(source)

    def _entries(self) -> Iterator[Entry]:
        here = [source for source in self._sources if not is_url(source)]
        corpora = [source for source in here if is_corpus(source) and Path(source).is_file()]
        others = [source for source in here if source not in corpora]
        if others or not self._sources:
            yield from self._local(others)
        for source in corpora:
            yield from self._of_corpus(source)
        for url in filter(is_url, self._sources):
            for one in self._matching(url):
                yield from self._of_store(one)

    def _local(self, paths: Sequence[str]) -> Iterator[Entry]:
        """Describe what is found in folders, in its order, and behind it what is left out."""
        found = find_audio(map(Path, paths), without=None if is_url(self._without) else Path(self._without))
        self.not_sound.update(found.not_sound)
        for file in found.files:
            if is_pipe(file):
                yield Entry(str(file), skip="a pipe, which can be read only once; give a file for OUT to embed it")
            else:
                yield describe_file(file)
        for path, reason in found.skipped:
            yield Entry(str(path), skip=readable_name(reason))

    def _of_corpus(self, name: str) -> Iterator[Entry]:
        """List what lies in a tar, zip or parquet file."""
        _, stamp = stamp_of(name, self._base)
        yield from open_corpus(name, self._base, stamp).entries(self.not_sound)

    def _matching(self, url: str) -> list[str]:
        """Return the URLs that ``*`` in the last part of one stands for."""
        folder, _, last = url.rpartition("/")
        if "*" not in last:
            return [url]
        names = [name for name, _ in Store(url).list(folder)]
        return [name for name in names if fnmatchcase(name.rpartition("/")[2], last)]

    def _of_store(self, url: str) -> Iterator[Entry]:
        """List a file, or a folder with all below it: its files, then its folders."""
        info = _find(url)
        if info["type"] != "directory":
            yield from self._of_corpus(url) if is_corpus(url) else [_describe(url, info)]
            return
        for found in self._folders(url):
            for name, about in found:
                own = name.rpartition("/")[2]
                if named_as_sound(own):
                    yield _describe(name, about)
                else:
                    self.not_sound[kind_of(own)] += 1

    def _folders(self, url: str) -> Iterator[list[tuple[str, dict[str, Any]]]]:
        """Yield the files of a folder, then those of the folders in it, in order; the next folders are listed ahead."""
        store = Store(url)
        waiting = [url]  # the next one last
        answers: dict[str, Future[list[tuple[str, dict[str, Any]]]]] = {}
        with ThreadPoolExecutor(_FOLDERS_AHEAD, thread_name_prefix="axlstm") as pool:
            while waiting:
                for folder in waiting[-_FOLDERS_AHEAD:]:
                    if folder not in answers and folder not in self._listed and folder != self._without:
                        answers[folder] = pool.submit(store.list, folder)
                answer = answers.pop(folder := waiting.pop(), None)
                if answer is None:  # listed before, or the output
                    continue
                self._listed.add(folder)
                found = answer.result()
                waiting += [name for name, about in reversed(found) if about["type"] == "directory"]
                yield [(name, about) for name, about in found if about["type"] != "directory"]


def _find(url: str) -> dict[str, Any]:
    """Return what a store says of a file or folder."""
    try:
        return Store(url).info(url)
    except FileNotFoundError as error:
        raise AudioError(f"{url}: no such file or folder; check the bucket, the name and the endpoint") from error


def _describe(url: str, info: dict[str, Any]) -> Entry:
    return Entry(url, -1 if info["size"] is None else int(info["size"]), info["stamp"])

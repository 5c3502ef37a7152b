"""Reach files behind URLs by fsspec (the extra ``remote``), in ranges and with further tries that are counted."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from axlstm.errors import AudioError, ConfigError, StoreError, first_line

R = TypeVar("R")

logger = logging.getLogger(__name__)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]*)", re.IGNORECASE)
_PAUSES_S = (0.1, 0.4, 1.6, 6.4)  # between tries, half or one and a half times as long by chance
_STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")  # of different libraries
_RANGE_BYTES = 8 << 20
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}  # of boto and google
_OF_ONE_OBJECT = {"AccessDenied", "InvalidObjectState"}  # other refusals are, or may be, of the credentials


def is_url(name: str) -> bool:
    """Tell whether a name is a URL, and not a path."""
    return _URL.match(name) is not None


def check_url(url: str) -> None:
    """Refuse a URL with credentials in it, since plans, rows and messages name it, and one of this machine.

    Raises:
        ConfigError: it is one.
    """
    match = _URL.match(url)
    if match is None:
        raise ConfigError(f"{url}: expected a URL")
    if match[1].lower() in ("file", "local"):
        raise ConfigError(f"{url}: a file of this machine; give its path")
    is_web = match[1].lower() in ("http", "https")
    if "@" in match[2] or (is_web and "?" in url):
        raise ConfigError(
            f"{match[1]}://...: a URL with credentials or a query in it, which outputs would name: leave them out, and "
            "give credentials where fsspec finds them (the environment, ~/.aws, ~/.config/fsspec)"
        )


class _Tries:
    """Counts the tries of this process after the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.count += 1


_tries = _Tries()


def count_retries() -> int:
    """Count the requests that this process has tried again."""
    return _tries.count


class Store:
    """The files behind one kind of URL. Names are URLs.

    Args:
        url: of any file of it.

    Raises:
        ConfigError: a URL with credentials in it, or one that needs a library that is not installed.
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        self._kind = url.partition("://")[0].lower()
        self._files = _open_files(self._kind, os.getpid())

    def info(self, url: str) -> dict[str, Any]:
        """Describe a file or a folder: ``type``, ``size``, and what changes with its content as ``stamp``.

        Raises:
            FileNotFoundError: there is nothing.
            StoreError: the store does not say.
        """

        def ask() -> dict[str, Any]:
            self._files.invalidate_cache(self._path(url))
            return _described(self._files.info(self._path(url)))

        return self._tried(url, ask)

    def list(self, url: str) -> list[tuple[str, dict[str, Any]]]:
        """List a folder: the URL and the `info` of each file and folder in it, sorted.

        Raises:
            StoreError: the store does not say.
        """

        def ask() -> list[dict[str, Any]]:
            return list(self._files.ls(self._path(url), detail=True, refresh=True))

        own = self._path(url).rstrip("/")
        found = {}
        for one in self._tried(url, ask):
            if (name := one["name"].rstrip("/")) != own:
                found[self._files.unstrip_protocol(name)] = _described(one)
        return sorted(found.items())

    def read(self, url: str, begin: int, end: int) -> bytes:
        """Read the bytes of a file from ``begin`` to ``end``, which it has.

        Raises:
            FileNotFoundError: it is not there.
            StoreError: the store does not give all of them.
        """

        def ask() -> bytes:
            content: bytes = self._files.cat_file(self._path(url), start=begin, end=end)
            if len(content) != end - begin:
                raise ConnectionError(f"{len(content)} bytes of {end - begin}")
            return content

        return self._tried(url, ask) if end > begin else b""

    def ranges(self, url: str, size: int) -> Iterator[bytes]:
        """Read a file of ``size`` bytes in ranges of 8 MiB; each is tried again by itself."""
        for begin in range(0, size, _RANGE_BYTES):
            yield self.read(url, begin, min(begin + _RANGE_BYTES, size))

    def write(self, url: str, content: bytes) -> None:
        """Write a file as a whole.

        Raises:
            StoreError: the store does not take it.
        """
        self._tried(url, lambda: self._files.pipe_file(self._path(url), content))

    def put(self, file: Path, url: str) -> None:
        """Write a file from one of this machine.

        Raises:
            StoreError: the store does not take it.
        """
        self._tried(url, lambda: self._files.put_file(str(file), self._path(url)))

    def remove(self, url: str) -> None:
        """Remove a file that may be gone already.

        Raises:
            StoreError: the store does not do it.
        """

        def ask() -> None:
            try:
                self._files.rm_file(self._path(url))
            except FileNotFoundError:
                return

        self._tried(url, ask)

    def _path(self, url: str) -> str:
        return str(self._files._strip_protocol(url))

    def _tried(self, url: str, ask: Callable[[], R]) -> R:
        """Ask until there is an answer, with pauses that become longer."""
        for pause_s in (*_PAUSES_S, None):
            try:
                return ask()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise
            except PermissionError as error:
                if _refuses_one(error):
                    raise PermissionError(f"{url}: the store refuses it ({safe_line(error)})") from error
                raise StoreError(f"{url}: the store does not take the credentials ({safe_line(error)})") from error
            except Exception as error:  # each store has errors of its own
                if type(error).__name__ in _NO_CREDENTIALS:
                    raise StoreError(
                        f"{url}: no credentials found; give them where fsspec finds them (the environment, ~/.aws, the "
                        "machine's role, ~/.config/fsspec)"
                    ) from error
                if pause_s is None:
                    tries = len(_PAUSES_S) + 1
                    raise StoreError(f"{url}: the store fails ({safe_line(error)}), {tries} times") from error
                logger.debug("%s: %s; tried again", url, safe_line(error))
                _tries.add()
                time.sleep(pause_s * random.uniform(0.5, 1.5))
        raise AssertionError("the last try returns or raises")


def skip_reason(url: str, error: Exception) -> AudioError:
    """Say what is wrong with one recording of a store, in the words of its error."""
    if isinstance(error, FileNotFoundError):
        return AudioError(f"{url}: not there any more")
    return AudioError(str(error))


def _refuses_one(error: PermissionError) -> bool:
    response = getattr(error.__cause__, "response", None)
    return response is None or response.get("Error", {}).get("Code") in _OF_ONE_OBJECT


def _described(info: dict[str, Any]) -> dict[str, Any]:
    stamp = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created") if info.get(key)), ""
    )
    return {"type": info.get("type"), "size": info.get("size"), "stamp": str(stamp).strip('"')}


def safe_line(error: Exception) -> str:
    """Shorten an error's message, without what may be credentials in the URLs that it names."""
    return re.sub(r"\?\S+", "?...", re.sub(r"//[^/@\s]*@", "//...@", first_line(error)))


@lru_cache(maxsize=8)
def _open_files(kind: str, _: int) -> Any:
    """Open the files of a kind of URL, without the further tries of the library itself: ours are counted.

    A process that was forked opens them anew: connections do not survive that.
    """
    try:
        import fsspec
    except ImportError as error:
        raise ConfigError('URLs need fsspec: pip install "axlstm[remote]"') from error
    options: dict[str, Any] = {}
    if kind in ("s3", "s3a"):
        configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        options["config_kwargs"] = {**configured, "retries": {"total_max_attempts": 1}}
    try:
        files = fsspec.filesystem(kind, **options)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{kind}://: fsspec cannot open it ({first_line(error)})") from error
    if hasattr(files, "retries"):
        files.retries = 1
    return files

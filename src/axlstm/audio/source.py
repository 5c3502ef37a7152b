"""Read bytes of a sound file at any place, and open stretches of them as files of their own."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from typing import Any, BinaryIO

import soundfile

from axlstm.errors import AudioError

_BLOCK = 1 << 16
_MOST_IN_MEMORY = 1 << 26  # bytes of a stream that cannot be sought in


class Source:
    """A binary file that is read at any offset.

    Args:
        stream: read from its beginning if it is seekable. Others, such as pipes, are read once into a temporary file.
        name: for messages.

    Raises:
        AudioError: a stream that is closed, cannot be read, or gives text.
    """

    def __init__(self, stream: Any, name: str) -> None:
        if getattr(stream, "closed", False):
            raise AudioError(f"{name}: a closed file object; open it again")
        try:
            is_text = isinstance(stream.read(0), str)
        except (io.UnsupportedOperation, TypeError) as error:
            raise AudioError(f"{name}: a file object that gives no bytes ({error}); open it with mode 'rb'") from error
        if is_text:
            raise AudioError(f"{name}: a file object opened as text; open it with mode 'rb'")
        self._is_copy = not (hasattr(stream, "seekable") and stream.seekable())
        self.stream: BinaryIO = _read_once(stream) if self._is_copy else stream
        self.name = name
        self.stream.seek(0, os.SEEK_END)
        self.size = self.stream.tell()
        self.stream.seek(0)

    def close(self) -> None:
        """Remove what was copied; the stream that was given stays open."""
        if self._is_copy:
            self.stream.close()

    def read_at(self, offset: int, count: int) -> bytes:
        """Read at most ``count`` bytes from ``offset`` on; fewer at the end only."""
        self.stream.seek(offset)
        content = self.stream.read(count)
        while len(content) < count and (more := self.stream.read(count - len(content))):  # an unbuffered file
            content += more
        return content

    def rewound(self) -> BinaryIO:
        """Return the stream, set back to its beginning."""
        self.stream.seek(0)
        return self.stream


def _read_once(stream: Any) -> Any:
    """Copy the rest of a stream into a file, in memory as long as it is small."""
    copy = tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY)  # noqa: SIM115
    try:
        shutil.copyfileobj(stream, copy)
    except BaseException:
        copy.close()
        raise
    return copy


def open_span(source: Source, begin: int, end: int, head: bytes = b"", claimed: int | None = None) -> io.BufferedReader:
    """Open a `_Span`, which explains the arguments, and read it by blocks."""
    return io.BufferedReader(_Span(source, begin, end, head, claimed), _BLOCK)


class _Span(io.RawIOBase):
    """Bytes ``begin`` to ``end`` of a source as a file, behind the bytes of ``head``.

    Args:
        claimed: a size that `seek` reports instead of the true one. The last 128 bytes before it read as zeros.
    """

    def __init__(self, source: Source, begin: int, end: int, head: bytes = b"", claimed: int | None = None) -> None:
        self._source, self._begin, self._end, self._head = source, begin - len(head), end, head
        self._size = end - self._begin if claimed is None else claimed
        self._zeros_from = self._size if claimed is None else claimed - 128
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        found = self._fetch(self._position, len(buffer))
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)

    def _fetch(self, position: int, count: int) -> bytes:
        if position >= self._zeros_from:
            return bytes(max(0, min(count, self._size - position)))
        head = self._head[position : position + count]
        begin = self._begin + position + len(head)
        return head + self._source.read_at(begin, max(0, min(count - len(head), self._end - begin)))


class ForwardFile(soundfile.SoundFile):
    """A sound file that is not sought in after each read: that fails at an end that no header foretold."""

    def seekable(self) -> bool:
        return False

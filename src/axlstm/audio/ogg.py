"""Read Ogg: the links of a chain are found by their pages, and each goes to libsndfile, which reads the first only."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections import deque

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.source import ForwardFile, Source, open_span
from axlstm.errors import AudioError

_HEADER = 27  # bytes of a page before its segment table
_LONGEST_PAGE = _HEADER + 255 + 255 * 255
_FIRST = 2  # flag of the first page of a stream
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggSound:
    """All links of an Ogg file as one sound. See `axlstm.audio.read.Sound`.

    Raises:
        AudioError: damaged pages, an incomplete last page, or links of different rates.
        soundfile.LibsndfileError: a stream that libsndfile does not decode.
    """

    def __init__(self, source: Source) -> None:
        begins, self._safe, damage = _find_links(source)
        if damage:
            raise AudioError(damage)
        if not begins:
            raise AudioError("no Ogg stream begins in it")
        self._links = []
        for begin, end in zip(begins, [*begins[1:], source.size], strict=True):
            self._links.append(ForwardFile(open_span(source, begin, end)))
        first = self._links[0]
        self.samplerate, self.channels = first.samplerate, first.channels
        self.format_info, self.subtype_info = first.format_info, first.subtype_info
        self._starts = [0]
        for link in self._links:
            if link.samplerate != self.samplerate:
                raise AudioError(
                    f"a chain of streams at different rates: {self._starts[-1] / self.samplerate:.2f} s at "
                    f"{self.samplerate} Hz, then {link.samplerate} Hz; split it into files"
                )
            self._starts.append(self._starts[-1] + link.frames)
        self.frames = self._starts[-1]
        self._position = 0

    def seek(self, frame: int) -> None:
        self._position = frame
        number = bisect_right(self._starts, frame) - 1
        if number < len(self._links):
            wanted = frame - self._starts[number]
            at = min(wanted, self._safe[number])
            self._links[number].seek(at)
            self._links[number].read(wanted - at, dtype="float32")

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the next samples ``(n, C)``: at most ``frames``, and none at the end.

        Raises:
            AudioError: damage.
        """
        number = bisect_right(self._starts, self._position) - 1
        if number >= len(self._links):
            return np.empty((0, self.channels), np.float32)
        try:
            block: NDArray[np.float32] = self._links[number].read(
                min(frames, self._starts[number + 1] - self._position), dtype="float32", always_2d=True
            )
        except soundfile.LibsndfileError as error:
            raise AudioError(f"damaged after {self._position / self.samplerate:.2f} s ({error})") from error
        self._position += len(block)
        return block

    def close(self) -> None:
        for link in self._links:
            link.close()


def _find_links(source: Source) -> tuple[list[int], list[int], str]:
    """Find where links begin, in bytes; up to which sample seeking is exact in each; the fault of the first bad page.

    libsndfile is off by some samples after it has sought to one of the last pages of Vorbis.
    """
    begins: list[int] = []
    ends: list[deque[int]] = []  # samples at the ends of the last pages of each link
    position, in_headers = 0, False
    numbers: dict[bytes, int] = {}  # of the next page, by stream
    while position < source.size:
        page = source.read_at(position, _LONGEST_PAGE)
        there = f"damaged at byte {position} of {source.size}"
        table = page[_HEADER : _HEADER + page[26]] if len(page) >= _HEADER else b""
        size = _HEADER + len(table) + sum(table)
        if page[:4] != b"OggS":
            return begins, [], f"{there}: no Ogg page"
        if len(page) < _HEADER or size > len(page):
            return begins, [], f"cut short: its last page, at byte {position}, is incomplete"
        if _checksum(page[:22] + bytes(4) + page[26:size]) != int.from_bytes(page[22:26], "little"):
            return begins, [], f"{there}: the checksum of a page is wrong"
        if page[5] & _FIRST:
            if not in_headers:
                begins.append(position)
                ends.append(deque([0, 0, 0], 3))
            numbers = numbers if in_headers else {}
        in_headers = bool(page[5] & _FIRST)
        serial, number = page[14:18], int.from_bytes(page[18:22], "little")
        if numbers.get(serial, number) != number:
            return begins, [], f"{there}: pages are missing"
        numbers[serial] = number + 1
        granule = int.from_bytes(page[6:14], "little", signed=True)
        if ends and granule > 0:
            ends[-1].append(granule)
        position += size
    return begins, [last[0] for last in ends], ""


def _checksum(page: bytes) -> int:
    """Compute the CRC-32 of RFC 3533, whose bits run the other way than zlib's."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)

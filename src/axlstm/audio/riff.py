"""Mend WAV headers that libsndfile does not read as they are: sizes left at 0, BW64, MPEG audio inside. Read chunks."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from axlstm.audio.source import Source
from axlstm.errors import AudioError

_MPEG_TAGS = (0x50, 0x55)  # of the format: MPEG layers I and II, layer III
_GSM_TAG = 0x31
_EXTENSIBLE = 0xFFFE
_PCM_TAGS = (1, 3, 6, 7)  # whose size gives the number of samples: PCM, floats, A-law, mu-law
_OPEN_ENDED = 0x7FFF_0000  # sizes from here on are written when the length is not known yet
_MOST_HEADER = 1 << 24  # bytes in which the data must begin
_MOST_CHUNKS = 1000
_MOST_CHUNK_BYTES = 1 << 16  # of a chunk that is read; notes of recorders have less


@dataclass(frozen=True, slots=True)
class Wav:
    """The facts of a WAV header."""

    format_tag: int
    block_bytes: int  # of a sample of all channels, or of a block of a codec
    data_begin: int
    data_end: int  # the end of the file, if the header does not say it
    promised: int | None  # bytes of data that the header announces, if it does
    header: bytes | None  # up to the data, mended; None if it is good as it is

    @property
    def holds_mpeg(self) -> bool:
        return self.format_tag in _MPEG_TAGS

    @property
    def promised_frames(self) -> int | None:
        """Return the number of samples that the header announces, if the file holds fewer."""
        if self.promised is None or self.format_tag not in _PCM_TAGS or self.block_bytes == 0:
            return None
        frames = self.promised // self.block_bytes
        return frames if frames > (self.data_end - self.data_begin) // self.block_bytes else None

    @property
    def most_frames(self) -> int | None:
        """Count the samples in GSM 6.10 data: libsndfile decodes the padding of an odd number of blocks too."""
        return (self.data_end - self.data_begin) // 65 * 320 if self.format_tag == _GSM_TAG else None


def read_wav(source: Source) -> Wav | None:
    """Read the header of a WAV, RF64 or BW64 file; None for another file, or one without format or data.

    Raises:
        AudioError: PCM samples that do not fill their words, which libsndfile takes for other samples.
    """
    head = source.read_at(0, 12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return None
    tag, block_bytes, long_size, long_at, position = 0, 0, 0, 0, 12
    while position < min(source.size, _MOST_HEADER):
        chunk = source.read_at(position, 48)
        name, size = chunk[:4], int.from_bytes(chunk[4:8], "little")
        if name == b"ds64":
            long_at, long_size = position + 16, int.from_bytes(chunk[16:24], "little")
        elif name == b"fmt " and len(chunk) >= 24:
            tag, block_bytes = int.from_bytes(chunk[8:10], "little"), int.from_bytes(chunk[20:22], "little")
            if tag == _EXTENSIBLE:
                tag = int.from_bytes(chunk[32:34], "little")
                channels, bits = (int.from_bytes(chunk[at : at + 2], "little") for at in (10, 22))
                if tag in _PCM_TAGS and block_bytes != channels * -(-bits // 8):
                    raise AudioError(
                        f"a WAV header that contradicts itself: {bits} bits a sample, but {block_bytes} bytes for "
                        f"{channels} of them; save the sound again, with the bits that its words have"
                    )
        elif name == b"data":
            return _wav_with_data(source, position + 8, size, tag, block_bytes, long_at, long_size) if tag else None
        position += 8 + size + size % 2
    return None


def _wav_with_data(
    source: Source, begin: int, size: int, tag: int, block_bytes: int, long_at: int, long_size: int
) -> Wav:
    """Collect the facts of a WAV file whose data begins at ``begin``; an RF64 header has its size at ``long_at``."""
    there = source.size - begin
    stated: int | None = long_size if long_at and size == 0xFFFF_FFFF else size
    lost = stated == 0 and there > 0 and not _holds_chunks(source, begin)
    if lost or (stated is not None and size >= _OPEN_ENDED and not long_at):
        stated = None
    end = source.size if stated is None else begin + min(there, stated)
    header = None
    if lost or source.read_at(0, 4) == b"BW64":
        mended = bytearray(source.read_at(0, begin))
        mended[:4] = b"RF64" if long_at else b"RIFF"
        if lost:
            data = there - there % max(1, block_bytes)
            if long_at:
                mended[long_at : long_at + 8] = data.to_bytes(8, "little")
            else:
                mended[-4:] = min(data, 0xFFFF_FFFF).to_bytes(4, "little")
        header = bytes(mended)
    return Wav(tag, block_bytes, begin, end, stated, header)


def _holds_chunks(source: Source, position: int) -> bool:
    """Tell whether chunks follow each other from a position to the end of the file. Then data of size 0 is empty."""
    while position < source.size:
        head = source.read_at(position, 8)
        size = int.from_bytes(head[4:8], "little")
        if len(head) < 8 or not head[:4].isascii() or not head[:4].strip(b"\0") or position + 8 + size > source.size:
            return False
        position += 8 + size + size % 2
    return True


def read_chunks(source: Source, names: Container[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Read the chunks of some names in a WAV, RF64 or BW64 file, before and behind its data: name and content.

    Of a chunk its first 64 KB are read, and of a file its first thousand chunks. Sizes that lead beyond the end of the
    file end the search.
    """
    head = source.read_at(0, 12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return
    position, long_size = 12, None
    for _ in range(_MOST_CHUNKS):
        chunk = source.read_at(position, 24)
        name, size = chunk[:4], int.from_bytes(chunk[4:8], "little")
        if len(chunk) < 8:
            return
        if name == b"ds64":
            long_size = int.from_bytes(chunk[16:24], "little")
        elif name == b"data" and size == 0xFFFF_FFFF and long_size is not None:
            size = long_size
        if position + 8 + size > source.size:
            return
        if name in names:
            yield name, source.read_at(position + 8, min(size, _MOST_CHUNK_BYTES))
        position += 8 + size + size % 2

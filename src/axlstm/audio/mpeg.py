"""Read MPEG audio (MP1, MP2, MP3): frames are found by their headers, and libsndfile decodes from any of them.

libsndfile guesses the length of a file without a Xing header from its first frame, and reads no further.
Here the frames are counted, and libsndfile is given a stretch of frames that claims to be longer than it is.

Encoder delay and padding are cut off as ffmpeg does: the delay that a LAME or Lavf tag states and the 529 samples
of the decoder at the start, the stated padding less those 529 at the end, nothing without such a tag.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import soundfile
from numpy.typing import NDArray

from axlstm.audio.source import ForwardFile, Source, open_span
from axlstm.errors import AudioError

_DECODER_DELAY = 529  # samples
_BLOCK = 1 << 20  # bytes read at a time
_TAG_REACH = 192  # bytes of a frame that hold all of its Xing or VBRI tag that matters
_LONGEST_FRAME = 1 << 13  # bytes; free format has no limit of its own
_STRAY = 4096  # bytes before the first frame and behind the last that are taken for an unknown tag
_NEAR = 1 << 16  # bytes in which the first frame must begin
_FAR = 1 << 62
_SYNC = re.compile(rb"\xff[\xe2-\xff]")

_RATES_HZ = (44_100, 48_000, 32_000)
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBPS = {  # by MPEG 1 or not, and layer: ISO 11172-3 and 13818-3
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW,
    (False, 3): _LOW,
}


@dataclass(frozen=True, slots=True)
class _Format:
    """The properties that all frames of a stream share."""

    mpeg1: bool
    layer: int
    rate_hz: int
    channels: int
    free: bool  # a bit rate that the headers do not state

    @property
    def frame_samples(self) -> int:
        return 384 if self.layer == 1 else 1152 if self.mpeg1 or self.layer == 2 else 576

    @property
    def slot_bytes(self) -> int:
        return 4 if self.layer == 1 else 1


def _parse_header(word: bytes) -> tuple[_Format, int, int] | None:
    """Read a frame's format, size without padding (0 in free format) and padding in bytes from its first 4 bytes."""
    if len(word) < 4 or word[0] != 0xFF or word[1] < 0xE0:
        return None
    version, layer = word[1] >> 3 & 3, 4 - (word[1] >> 1 & 3)
    bit_rate, rate, padding = word[2] >> 4, word[2] >> 2 & 3, word[2] >> 1 & 1
    if version == 1 or layer == 4 or bit_rate == 15 or rate == 3:
        return None
    form = _Format(
        version == 3,
        layer,
        _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version],
        1 if word[3] >> 6 == 3 else 2,
        bit_rate == 0,
    )
    slot = form.slot_bytes
    slots = (
        0
        if form.free
        else form.frame_samples // 8 * _KBPS[form.mpeg1, layer][bit_rate - 1] * 1000 // slot // form.rate_hz
    )
    return form, slots * slot, padding * slot


class _FrameSizes(dict[bytes, int]):
    """The size in bytes of a frame by its first 4 bytes: 0 for what is no header of the format."""

    def __init__(self, form: _Format, free_size: int) -> None:
        super().__init__()
        self.form, self._free_size = form, free_size

    def __missing__(self, word: bytes) -> int:
        parsed = _parse_header(word)
        size = 0
        if parsed is not None and parsed[0] == self.form:
            size = (self._free_size if self.form.free else parsed[1]) + parsed[2]
        self[word] = size
        return size


@dataclass(slots=True)
class _Run:
    """Frames that follow each other without a gap."""

    form: _Format
    offsets: array[int]  # of frames, in bytes
    end: int  # of the last whole frame, in bytes
    tagged: list[int]  # frames that may hold a Xing or Info tag
    damage: str = ""  # of the bytes before it
    ending: str = ""  # what is wrong with the bytes behind it


@dataclass(frozen=True, slots=True)
class _Tag:
    """The statements of a Xing, Info or VBRI frame."""

    frames: int | None
    size: int | None  # in bytes
    delay: int | None  # of the encoder, in samples
    padding: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples ``begin`` to ``end`` of a run, counted from its frame ``origin``."""

    run: _Run
    origin: int
    begin: int
    end: int
    fault: str  # between it and the part before


class MpegSound:
    """MPEG audio, decoded from any frame on. See `axlstm.audio.read.Sound`.

    Streams one behind another are read as one sound. Each that has a Xing tag is decoded as if it were alone.

    Args:
        begin: byte of the source at which the stream begins.
        end: byte at which it ends.

    Raises:
        AudioError: no MPEG audio, or streams of different rates.
    """

    def __init__(self, source: Source, begin: int = 0, end: int | None = None) -> None:
        self._source = source
        self._decoder: soundfile.SoundFile | None = None
        self._decoder_at: tuple[_Run, int, int] | None = None  # its run, origin and next sample
        runs = _find_runs(source, *_without_tags(source, begin, source.size if end is None else end))
        if not runs:
            raise AudioError("holds no whole frame of MPEG audio")
        form = runs[0].form
        self.samplerate, self.channels = form.rate_hz, form.channels
        self.format_info, self.subtype_info = "MPEG-1/2 Audio", f"MPEG Layer {'I' * form.layer}"
        self._parts, self._fault = _parts(source, runs)
        self._starts = [0]  # of the parts, and the end of the last
        for part in self._parts:
            if part.run.form.rate_hz != form.rate_hz:
                raise AudioError(
                    f"a chain of streams at different rates: {self._starts[-1] / form.rate_hz:.2f} s at "
                    f"{form.rate_hz} Hz, then {part.run.form.rate_hz} Hz; split it into files"
                )
            self._starts.append(self._starts[-1] + part.end - part.begin)
        self.frames = self._starts[-1] + (form.frame_samples if self._fault else 0)
        self._position = 0
        self._asked_before = True  # whether the sample before the position is wanted too

    def seek(self, frame: int) -> None:
        self._position, self._asked_before = frame, frame == 0

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the next samples ``(n, C)``: at most ``frames``, and none at the end.

        Raises:
            AudioError: damage, or an end that comes too early.
        """
        number = bisect_right(self._starts, self._position) - 1
        fault = self._parts[number].fault if number < len(self._parts) else self._fault
        if fault and (self._asked_before or number == len(self._parts)) and self._position == self._starts[number]:
            raise AudioError(f"{fault.format(f'after {self._position / self.samplerate:.2f} s')}")
        if number == len(self._parts):
            return np.empty((0, self.channels), np.float32)
        part = self._parts[number]
        sample = part.begin + self._position - self._starts[number]
        block = self._decode(part, sample, min(frames, part.end - sample))
        self._position, self._asked_before = self._position + len(block), True
        return block

    def _decode(self, part: _Part, sample: int, count: int) -> NDArray[np.float32]:
        """Decode samples of a part, counted from its origin: ``(n, C)``."""
        near = part.run.form.rate_hz  # reading this far is faster than seeking
        run, origin, at = self._decoder_at or (None, 0, 0)
        if self._decoder is None or run is not part.run or origin != part.origin or not at <= sample <= at + near:
            self.close()
            self._decoder, at = _open_run(self._source, part, sample)
        if at < sample:
            self._decoder.read(sample - at, dtype="float32")
        block: NDArray[np.float32] = self._decoder.read(count, dtype="float32", always_2d=True)
        self._decoder_at = (part.run, part.origin, sample + len(block))
        if len(block) == 0:
            raise AudioError(f"damaged after {self._position / self.samplerate:.2f} s: frames that cannot be decoded")
        return block

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None


def begins_mpeg(source: Source) -> bool:
    """Tell whether a frame of MPEG audio is the first thing in a file but for tags and zeros."""
    begin = _skip_tags(source, 0, source.size)
    return _confirm(source, begin, source.size) is not None


def _open_run(source: Source, part: _Part, sample: int) -> tuple[soundfile.SoundFile, int]:
    """Open a decoder that gives sample ``sample`` of a part as if it had decoded all before. Return the next too."""
    run, last = part.run, len(part.run.offsets) - 1
    wanted = part.origin + sample // run.form.frame_samples
    first = max(part.origin, min(wanted, last) - 2)  # a frame overlaps the next; the filter bank remembers one more
    begin = run.offsets[first]
    before = _silent_frames(source, part, first) if run.form.layer == 3 else []
    head = b"".join(before)
    if first == last:  # mpg123 wants a second
        head += source.read_at(begin, run.end - begin)
    claimed = 64 * (run.end - begin + len(head)) + (1 << 20)  # longer than libsndfile can take it for, at any bit rate
    decoder = ForwardFile(open_span(source, begin, run.end, head, claimed))
    return decoder, (first - len(before) - part.origin) * run.form.frame_samples


def _silent_frames(source: Source, part: _Part, end: int) -> list[bytes]:
    """Return frames of layer III before frame ``end`` that hold the bytes it may refer to, and no sound of their own.

    Decoded as they are, they would make mpg123 complain about the bytes that they refer to in their turn.
    """
    run = part.run
    most = 511 if run.form.mpeg1 else 255  # bytes; ISO 11172-3 and 13818-3: main_data_begin
    side = _tag_offset(run.form) - 4
    begin, held = end, 0
    while begin > part.origin and held < most:
        begin -= 1
        held += max(0, run.offsets[begin + 1] - run.offsets[begin] - side - 6)
    frames, held = [], 0
    for number in range(begin, end):
        frame = bytearray(source.read_at(run.offsets[number], run.offsets[number + 1] - run.offsets[number]))
        at = 4 if frame[1] & 1 else 6  # behind a checksum
        refers = min(held, most)  # everything so far, so that no byte is dropped
        bits = 8 * side - (9 if run.form.mpeg1 else 8)  # that follow the reference
        frame[at : at + side] = (refers << bits).to_bytes(side, "big")
        held += max(0, len(frame) - at - side)
        frames.append(bytes(frame))
    return frames


def _parts(source: Source, runs: list[_Run]) -> tuple[list[_Part], str]:
    """Cut runs of frames into the parts to be heard. The text is the fault behind the last, if there is one."""
    parts: list[_Part] = []
    fault = ""
    for run in runs:
        samples = run.form.frame_samples
        fault = fault or run.damage
        tags = {first: tag for first in {0, *run.tagged} if (tag := _read_tag(source, run, first)) is not None}
        bounds = sorted({0, *tags, len(run.offsets)})
        for first, end in pairwise(bounds):
            tag = tags.get(first)
            origin = first + (tag is not None)
            frames = end - origin
            promised = frames if tag is None or tag.frames is None else tag.frames
            delay = 0 if tag is None or tag.delay is None else tag.delay + _DECODER_DELAY
            padding = max(0, tag.padding - _DECODER_DELAY) if tag is not None and promised == frames else 0
            if frames * samples - padding > delay:
                parts.append(_Part(run, origin, delay, frames * samples - padding, fault))
                fault = ""
            if promised > frames + _counts_itself(run, first, end, tag):
                fault = fault or f"cut short {{}}: its Xing header promises {promised} frames, {frames} are there"
        fault = fault or run.ending
    return parts, fault


def _counts_itself(run: _Run, first: int, end: int, tag: _Tag | None) -> bool:
    """Tell whether a tag may count its own frame, as some encoders write it. All its bytes must be there."""
    there = (run.offsets[end] if end < len(run.offsets) else run.end) - run.offsets[first]
    return tag is not None and not run.ending and (tag.size is None or tag.size <= there)


def _read_tag(source: Source, run: _Run, frame: int) -> _Tag | None:
    """Read the Xing, Info or VBRI tag of a frame; None if it has none, or one that states nothing."""
    data = source.read_at(run.offsets[frame], _TAG_REACH)
    at = _tag_offset(run.form)
    if data[at : at + 4] in (b"Xing", b"Info"):
        flags, at = int.from_bytes(data[at + 4 : at + 8], "big"), at + 8
        numbers: list[int | None] = [None, None]
        for bit in (0, 1):
            if flags >> bit & 1:
                numbers[bit] = int.from_bytes(data[at : at + 4], "big")
                at += 4
        at += 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        known = data[at : at + 4] in (b"LAME", b"Lavf", b"Lavc")
        pads = int.from_bytes(data[at + 21 : at + 24], "big")
        tag = _Tag(numbers[0] or None, numbers[1] or None, pads >> 12 if known else None, pads & 0xFFF if known else 0)
        return None if tag.frames is None and tag.size is None else tag
    if frame == 0 and data[36:40] == b"VBRI":
        size, frames = int.from_bytes(data[46:50], "big"), int.from_bytes(data[50:54], "big")
        return _Tag(frames or None, size or None, None, 0)
    return None


def _tag_offset(form: _Format) -> int:
    return 4 + ((32, 17) if form.mpeg1 else (17, 9))[form.channels == 1]


def _find_runs(source: Source, begin: int, end: int) -> list[_Run]:
    runs: list[_Run] = []
    position = begin
    while (start := _find_frame(source, position, end, _FAR if runs else _NEAR)) is not None:
        run = _walk(source, start, end)
        if not run.offsets:  # the only frame is incomplete
            if runs:
                runs[-1].ending = run.ending
            return runs
        lost = start - position
        if lost > (0 if runs else _STRAY) or (lost and _header_format(source, position) == run.form):
            run.damage = f"damaged {{}}: {lost} bytes that are no MPEG audio"
        runs.append(run)
        position = _skip_tags(source, run.end, end)
        if run.ending:
            return runs
    if runs and end - position > _STRAY:
        runs[-1].ending = f"damaged {{}}: the last {end - position} bytes are no MPEG audio"
    return runs


def _walk(source: Source, start: int, end: int) -> _Run:
    """Find the frames from a first one on, up to the first byte that begins no other of their format."""
    sizes = _confirm(source, start, end)
    assert sizes is not None
    offsets, tagged, position = array("q"), [], start
    tag_offset = _tag_offset(sizes.form)
    while position < end:
        block = source.read_at(position, min(_BLOCK, end - position))
        whole = position + len(block) == end
        limit = len(block) - (4 if whole else _TAG_REACH)
        at, size, counted = 0, 0, len(offsets)
        while at <= limit:
            size = sizes[block[at : at + 4]]
            if not size:
                break
            offsets.append(position + at)
            at += size
        for name in (b"Xing", b"Info"):
            hit = block.find(name)
            while hit >= 0:
                frame = bisect_left(offsets, position + hit - tag_offset, counted)
                if frame < len(offsets) and offsets[frame] == position + hit - tag_offset:
                    tagged.append(frame)
                hit = block.find(name, hit + 1)
        position += at
        if not size or whole:
            break
    run = _Run(sizes.form, offsets, position, tagged)
    if position > end:
        run.end = offsets.pop()
        run.ending = "cut short {}: its last frame is incomplete"
    return run


def _find_frame(source: Source, begin: int, end: int, reach: int) -> int | None:
    """Find the first frame that others follow."""
    position, limit = begin, min(end, begin + reach)
    while position < limit:
        block = source.read_at(position, min(_BLOCK, end - position))
        for match in _SYNC.finditer(block):
            if position + match.start() >= limit:
                return None
            if _parse_header(block[match.start() : match.start() + 4]) is None:
                continue
            if _confirm(source, position + match.start(), end) is not None:
                return position + match.start()
        position += max(1, len(block) - 3)
    return None


def _confirm(source: Source, begin: int, end: int) -> _FrameSizes | None:
    """Return the sizes of frames, if one begins there and two of its format follow, or the end does."""
    form = _header_format(source, begin)
    if form is None:
        return None
    sizes = _FrameSizes(form, _free_size(source, begin, form) if form.free else 0)
    position = begin
    for _ in range(3):
        size = sizes[source.read_at(position, 4)]
        if not size:
            return None
        position += size
        if position >= end:
            break
    return sizes


def _header_format(source: Source, position: int) -> _Format | None:
    parsed = _parse_header(source.read_at(position, 4))
    return None if parsed is None else parsed[0]


def _free_size(source: Source, begin: int, form: _Format) -> int:
    """Count the bytes of a frame of free format without its padding, up to the next header; 0 if there is none."""
    data = source.read_at(begin, 2 * _LONGEST_FRAME)
    parsed = _parse_header(data[:4])
    for match in _SYNC.finditer(data, 24, _LONGEST_FRAME):
        at = match.start()
        follows = _parse_header(data[at : at + 4])
        if parsed is None or follows is None or follows[0] != form:
            continue
        size = at - parsed[2]
        third = _parse_header(data[at + size + follows[2] :][:4])
        if third is not None and third[0] == form:
            return size
    return 0


def _skip_tags(source: Source, position: int, end: int) -> int:
    """Find the end of the ID3v2, APE and ID3v1 tags and zeros that begin at a position."""
    while position < end:
        head = source.read_at(position, 32)
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            position += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:8] == b"APETAGEX":
            position += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG":
            position += 128
        elif head[:1] == b"\0":
            block = source.read_at(position, _BLOCK)
            position += len(block) - len(block.lstrip(b"\0"))
        else:
            break
    return min(position, end)


def _without_tags(source: Source, begin: int, end: int) -> tuple[int, int]:
    """Return the span of a file without the tags in front and behind."""
    begin = _skip_tags(source, begin, end)
    while end - begin > 128:
        tail = source.read_at(end - 128, 128)
        if tail[:3] == b"TAG":
            end -= 128
        elif tail[-32:-24] == b"APETAGEX":
            # The size counts the footer, 32 bytes; a smaller one is damaged, and 0 would never come to an end.
            end -= max(32, int.from_bytes(tail[-20:-16], "little")) + (32 if tail[-9] & 0x80 else 0)
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            end -= int(tail[-15:-9]) + 15
        elif tail[-9:] == b"LYRICSEND":
            lyrics = source.read_at(max(begin, end - 5200), 5200)
            found = lyrics.rfind(b"LYRICSBEGIN")
            if found < 0:
                break
            end -= len(lyrics) - found
        elif tail[-10:-7] == b"3DI" and max(tail[-4:]) < 0x80:
            end -= 20 + (tail[-4] << 21 | tail[-3] << 14 | tail[-2] << 7 | tail[-1])
        else:
            break
    return begin, max(begin, end)

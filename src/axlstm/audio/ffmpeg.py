"""Decode what libsndfile does not (m4a, webm, wma, amr) by ffmpeg's libraries in PyAV, an optional dependency.

The delay and padding that a file states are cut off by ffmpeg itself.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.source import Source, open_span
from axlstm.errors import AudioError, first_line

if TYPE_CHECKING:
    from collections.abc import Generator

_CONTAINERS = (  # none that names other files or addresses
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,xwma,amr,amrnb,amrwb,aac,gsm,ogg,flac,wav,w64,caf,aiff,au,voc,"
    "ac3,eac3,dts,ape,wv,tta,tak,mpc,mpc8,dsf,rm,avi,flv,mpeg,mpegts"
)
_TOLERANCE_S = 0.1  # a header may announce so much more than there is, a frame or two
_AT_ONCE = 1 << 16  # frames that are decoded together on the way to a later one
_GSM_FRAME = 33  # bytes; each begins with 0xD


class FfmpegSound:
    """The first audio stream of a file, decoded from its beginning. See `axlstm.audio.read.Sound`.

    Raises:
        AudioError: a file without an audio stream that can be decoded.
    """

    frames = None

    def __init__(self, source: Source) -> None:
        import av

        try:
            self._container: Any = _open_container(source)
            self._stream: Any = self._container.streams.audio[0]
            if self._stream.codec_context is None:
                raise AudioError("its codec is unknown to ffmpeg")
            self._decoded = self._decode()
            self._rest = next(self._decoded, None)
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(f"cannot be decoded ({first_line(error)})") from error
        context = self._stream.codec_context
        self.samplerate, self.channels = context.sample_rate, context.layout.nb_channels
        self.format_info, self.subtype_info = self._container.format.long_name, context.codec.long_name
        self._position = 0

    def seek(self, frame: int) -> None:
        while self._position < frame and len(self.read(min(frame - self._position, _AT_ONCE))):
            pass

    def read(self, frames: int) -> NDArray[np.floating]:
        """Read the next samples ``(n, C)``: at most ``frames``, and none at the end.

        Raises:
            AudioError: damage, or an end that comes too early.
        """
        import av

        blocks, count = [], 0
        try:
            while self._rest is not None and count < frames:
                block, rest = self._rest[: frames - count], self._rest[frames - count :]
                blocks.append(block)
                count += len(block)
                self._rest = rest if len(rest) else next(self._decoded, None)
        except av.FFmpegError as error:
            seconds = (self._position + count) / self.samplerate
            raise AudioError(f"damaged after {seconds:.2f} s ({first_line(error)})") from error
        self._position += count
        return np.concatenate(blocks) if blocks else np.empty((0, self.channels), np.float32)

    def close(self) -> None:
        self._decoded.close()
        self._container.close()

    def _decode(self) -> Generator[NDArray[np.floating], None, None]:
        """Yield blocks ``(n, C)`` of any length above 0.

        Raises:
            AudioError: a change of rate or channels, packets that are damaged, or an end that comes too early.
        """
        rate, decoded = self._stream.codec_context.sample_rate, 0
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                raise AudioError(f"damaged after {decoded / rate:.2f} s: a packet is corrupt")
            for frame in packet.decode():
                if frame.sample_rate != (rate := rate or frame.sample_rate):
                    raise AudioError(f"its rate changes after {decoded / rate:.2f} s to {frame.sample_rate} Hz")
                decoded += frame.samples
                if frame.samples:
                    yield _samples(frame)
        announced = self._stream.duration
        if announced is not None and self._container.format.name.startswith("mov"):
            missing_s = float(announced * self._stream.time_base) - decoded / rate
            if missing_s > _TOLERANCE_S:
                raise AudioError(
                    f"cut short: holds {decoded / rate:.2f} s, {missing_s:.2f} s less than its header says"
                )


def is_installed() -> bool:
    """Tell whether PyAV is there."""
    return find_spec("av") is not None


def ffmpeg_reads(source: Source) -> bool:
    """Tell whether PyAV is installed and finds an audio stream."""
    if not is_installed():
        return False
    import av

    try:
        with _open_container(source) as container:
            return bool(container.streams.audio)
    except (av.FFmpegError, ValueError):
        return False


def _open_container(source: Source) -> Any:
    import av

    options = {"format_whitelist": _CONTAINERS}
    return av.open(open_span(source, 0, source.size), format=_forced_format(source), options=options)


def _forced_format(source: Source) -> str | None:
    """Return "gsm" for raw GSM 06.10, which ffmpeg does not recognise without the name of the file."""
    head = source.read_at(0, 10 * _GSM_FRAME)
    marks = head[::_GSM_FRAME]
    return "gsm" if source.size % _GSM_FRAME == 0 and all(mark >> 4 == 0xD for mark in marks) else None


def _samples(frame: Any) -> NDArray[np.floating]:
    """Return the samples of a decoded frame ``(n, C)``, integers scaled to [-1, 1]."""
    data = frame.to_ndarray()
    data = data.T if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels)
    if data.dtype == np.uint8:
        return (data.astype(np.float32) - 128) / 128
    if data.dtype.kind == "i":
        return (data / -float(np.iinfo(data.dtype).min)).astype(np.float32)
    return np.ascontiguousarray(data)

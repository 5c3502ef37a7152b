"""The bundled recordings encoded in many ways, and what ffmpeg decodes of a file, both through PyAV."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from axlstm.samples import sample_paths


@cache
def recording(seconds: float, rate: int, channels: int) -> NDArray[np.float32]:
    """The bundled recordings one behind another, repeated, peak 0.7: ``(n, channels)``."""
    pieces = []
    for path in sample_paths():
        samples, own_rate = soundfile.read(path, always_2d=True, dtype="float32")
        piece = soxr.resample(samples[: own_rate // 4], own_rate, rate)
        pieces.append(piece[:, [0, piece.shape[1] > 1]])
    whole = np.concatenate(pieces)
    count = round(seconds * rate)
    whole = np.tile(whole, (count // len(whole) + 1, 1))[:count, :channels]
    return np.ascontiguousarray(whole * 0.7 / max(1.0, np.abs(whole).max()), dtype=np.float32)


def by_libsndfile(samples: NDArray[np.float32], rate: int, kind: str, subtype: str) -> bytes:
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", rate, samples.shape[1], format=kind, subtype=subtype) as file:
        for start in range(0, len(samples), 8_000):
            file.write(samples[start : start + 8_000])
    return stream.getvalue()


def by_ffmpeg(
    samples: NDArray[np.float32],
    rate: int,
    codec: str,
    container: str,
    bit_rate: int | None = None,
    header: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    stream = io.BytesIO()
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(stream, "w", format=container, options=header or {}) as file:
        out = file.add_stream(codec, rate=rate, options=options)
        out.codec_context.layout = layout
        if bit_rate:
            out.bit_rate = bit_rate
        out.codec_context.open()
        frame_size = out.codec_context.frame_size or None
        fit = av.AudioResampler(out.codec_context.format, layout, rate, frame_size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for part in [*fit.resample(frame), *fit.resample(None)]:
            file.mux(out.encode(part))
        file.mux(out.encode(None))
    return stream.getvalue()


def decoded_by_ffmpeg(raw: bytes, container: str | None = None) -> NDArray[np.float32]:
    """All samples of the first audio stream: ``(n, C)``.

    Raises:
        av.FFmpegError: what ffmpeg cannot decode.
    """
    blocks = []
    with av.open(io.BytesIO(raw), format=container) as file:
        for frame in file.decode(audio=0):
            data = frame.to_ndarray()
            data = data.T if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels)
            if data.dtype == np.uint8:
                data = data / 128 - 1
            elif data.dtype.kind == "i":
                data = data / -float(np.iinfo(data.dtype).min)
            blocks.append(data)
    return np.concatenate(blocks).astype(np.float32)

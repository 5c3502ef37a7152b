"""Convert telephone codecs, WavPack and SoundFonts, which libsndfile cannot read, to FLAC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from axlstm.errors import AudioError, ConfigError
from recipes.open_audio import soundfont
from recipes.open_audio.failures import CorruptArchiveError

FORMATS = {".g722": "g722", ".gsm": "gsm", ".wv": "wv"}
"""FFmpeg's names of the formats that are converted."""


def convert_folder(folder: Path) -> list[str]:
    """Convert all such files below a folder and remove the originals; returns the failures, with reasons.

    ``a.g722`` becomes ``a.g722.flac``; the recordings of ``a.sf2`` go to the folder ``a.sf2.d``, and the SoundFont
    stays, to be rendered.
    """
    failed = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if path.suffix.lower() == ".sf2":
                soundfont.extract(path)
            elif path.suffix.lower() in FORMATS:
                to_flac(path, path.with_name(path.name + ".flac"))
                path.unlink()
        except (AudioError, CorruptArchiveError) as error:
            failed.append(f"{path.relative_to(folder)}: {error}")
    return failed


def to_flac(source: Path, target: Path) -> None:
    """Decode a file by FFmpeg's libraries and write it as 16-bit FLAC of the same rate.

    Raises:
        AudioError: it cannot be decoded, or holds nothing.
        ConfigError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(f"{source}: needs PyAV: pip install -e recipes/open_audio") from error
    blocks: list[np.ndarray] = []
    try:
        with av.open(str(source), format=FORMATS[source.suffix.lower()]) as container:
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            channels = stream.codec_context.channels
            resampler = av.AudioResampler(format="s16", rate=rate)
            for frame in container.decode(stream):
                blocks += [part.to_ndarray().reshape(-1, channels) for part in resampler.resample(frame)]
            blocks += [part.to_ndarray().reshape(-1, channels) for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError) as error:
        raise AudioError(f"cannot be decoded ({error})") from error
    samples = np.concatenate(blocks) if blocks else np.zeros((0, 1), dtype=np.int16)  # (n, C)
    if len(samples) == 0:
        raise AudioError("holds no samples")
    soundfile.write(target, samples, rate, format="FLAC", subtype="PCM_16")

"""Embed sound while it comes in: ``axlstm stream``."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.embed import Encoder, Model, Revision
from axlstm.options import EMBEDDER_DEFAULTS, Encoding, StreamUnit


def stream(
    source: Positional[str] = "-",
    model: Model = "axlstm-tiny",
    each: StreamUnit = "frame",
    hop_ms: float = 1000.0,
    time_constant_s: Annotated[float | None, arg(metavar="SECONDS|None")] = 60.0,
    raw: Encoding | None = None,
    rate: int = 16_000,
    channels: int = 1,
    revision: Revision = None,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Embed sound while it comes in: read WAV or raw samples from stdin or a pipe, write JSON lines to stdout.

    Each line is {"time_ms": ..., "embedding": [...]}. The sound is normalised with what came before it; embed
    normalises with the whole clip (docs/length.md). Ctrl-C ends the stream. Example:
    arecord -f S16_LE -r 16000 | axlstm stream --each window

    Args:
        source: a pipe or file; - is stdin.
        each: write an embedding for each 40 ms, or one for each window of 2 s.
        hop_ms: time from one window to the next. A shorter hop costs more and waits less.
        time_constant_s: age at which sound counts 1/e in the normalisation. With None all sound counts the same.
        raw: format of samples without a WAV header.
        rate: sample rate of raw samples, in Hz.
        channels: number of interleaved channels of raw samples.
    """
    from collections.abc import Iterator
    from contextlib import suppress

    from axlstm.audio.pcm import PcmFormat, open_stream, read_blocks, read_wav_header
    from axlstm.errors import AudioError
    from axlstm.hub import load_model

    embedder = load_model(model, revision=revision, **encoder)
    with sys.stdin.buffer if source == "-" else open_stream(source) as file:
        stored, size = (PcmFormat(raw, rate, channels), None) if raw else read_wav_header(file, source)
        live = embedder.stream(stored.sample_rate_hz, hop_ms=hop_ms, time_constant_s=time_constant_s, each=each)
        promised = live.latency
        print(
            f"axlstm: first embedding after {promised.first_ms:g} ms of sound; each at most "
            f"{promised.algorithmic_ms:g} ms and the computing time behind it",
            file=sys.stderr,
        )
        faults: list[str] = []

        def blocks() -> Iterator[Any]:  # what came before a fault is embedded to its end
            try:
                yield from read_blocks(file, stored, size)
            except AudioError as error:
                faults.append(str(error))

        is_given = False
        with suppress(KeyboardInterrupt):
            for time_ms, embedding in live.over(blocks()):
                is_given = True
                values = [float(str(value)) for value in embedding]  # the fewest digits that give the same float32
                print(json.dumps({"time_ms": time_ms, "embedding": values}), flush=True)
            if not is_given:
                faults.append("ended before it had an embedding, which takes 25 ms of sound")
    measured = live.latency
    if measured.compute_ms is not None:
        pace = "kept up" if measured.keeps_up else f"did not keep up: a window every {measured.hop_ms:g} ms is too many"
        print(f"axlstm: {measured.compute_ms:.0f} ms of computing a window; {pace}", file=sys.stderr)
    if faults:
        raise AudioError(f"{source}: {'; '.join(faults)}")
    return 0

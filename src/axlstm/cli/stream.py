"""``axlstm stream``: embeddings of sound while it comes in."""

from __future__ import annotations

import json
import sys
from typing import Annotated

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
    """Embed sound while it comes in: WAV or raw samples from stdin or a pipe, JSON lines to stdout.

    Each line is {"time_ms": ..., "embedding": [...]}. It is normalised with the sound so far, not with that of the
    whole clip as embed does; see docs/length.md. Ctrl-C ends it. Example:
    arecord -f S16_LE -r 16000 | axlstm stream --each window

    Args:
        source: a pipe or file; - is stdin.
        each: an embedding for each 40 ms, or one for each window of 2 s.
        hop_ms: from one window to the next; a shorter one costs more and waits less.
        time_constant_s: after which sound counts 1/e in the normalisation; None: all counts the same.
        raw: how samples without a WAV header are stored.
        rate: of raw samples, in Hz.
        channels: of raw samples, interleaved.
    """
    from contextlib import suppress
    from pathlib import Path

    from axlstm.audio.pcm import PcmFormat, read_blocks, read_wav_header
    from axlstm.hub import load_model

    embedder = load_model(model, revision=revision, **encoder)
    with sys.stdin.buffer if source == "-" else Path(source).open("rb") as file:
        stored, size = (PcmFormat(raw, rate, channels), None) if raw else read_wav_header(file, source)
        live = embedder.stream(stored.sample_rate_hz, hop_ms=hop_ms, time_constant_s=time_constant_s, each=each)
        promised = live.latency
        print(
            f"axlstm: first embedding after {promised.first_ms:g} ms of sound; each at most "
            f"{promised.algorithmic_ms:g} ms and the computing time behind it",
            file=sys.stderr,
        )
        with suppress(KeyboardInterrupt):
            for time_ms, embedding in live.over(read_blocks(file, stored, size)):
                values = [float(str(value)) for value in embedding]  # the shortest digits that are float32's
                print(json.dumps({"time_ms": time_ms, "embedding": values}), flush=True)
    measured = live.latency
    if measured.compute_ms is not None:
        pace = "kept up" if measured.keeps_up else f"did not keep up: a window every {measured.hop_ms:g} ms is too many"
        print(f"axlstm: {measured.compute_ms:.0f} ms of computing a window; {pace}", file=sys.stderr)
    return 0

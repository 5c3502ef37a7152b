"""Embed sound while it comes in, or detect labels in it: ``axlstm stream``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.embed import Encoder, Revision, changed_options
from axlstm.options import EMBEDDER_DEFAULTS, Encoding, StreamUnit

if TYPE_CHECKING:
    from axlstm.collection.detections.live import ClassifierStream
    from axlstm.collection.detections.segments import Rule
    from axlstm.embed.live import EmbeddingStream


def stream(
    source: Positional[str] = "-",
    model: Annotated[str | None, arg(aliases=["-m"])] = None,
    each: StreamUnit | None = None,
    hop_ms: float | None = None,
    time_constant_s: Annotated[float | None, arg(metavar="SECONDS|None")] = 60.0,
    classifier: Path | None = None,
    threshold: float | None = None,
    low: float | None = None,
    gap_s: float = 0.0,
    raw: Encoding | None = None,
    rate: int = 16_000,
    channels: int = 1,
    revision: Revision = None,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Embed sound while it comes in: read WAV or raw samples from stdin or a pipe, write JSON lines to stdout.

    Each line is {"time_ms": ..., "embedding": [...]}. The sound is normalised with what came before it; embed
    normalises with the whole clip (docs/length.md). With --classifier, a line is a stretch in which a label is heard,
    {"start_ms": ..., "end_ms": ..., "label": ..., "score": ...}, as soon as it has ended; or, with --each window, the
    probability of a label in a window, {"time_ms": ..., "label": ..., "probability": ...}. Ctrl-C ends the stream.
    Example: arecord -f S16_LE -r 16000 | axlstm stream --each window

    Args:
        source: a pipe or file; - is stdin.
        model: a model folder, .safetensors, .pth, run folder, name or Hub id; axlstm-tiny without it. With a
            classifier, where its encoder is, if it is not where it was when the classifier was trained.
        each: write an embedding for each 40 ms, or one for each window of 2 s; with a classifier, a line for each of
            its windows and labels.
        hop_ms: time from one window of the encoder to the next: 1000, or with a classifier a whole window, 2000. A
            shorter hop costs more and waits less.
        time_constant_s: age at which sound counts 1/e in the normalisation. With None all sound counts the same.
        classifier: folder that axlstm train wrote.
        threshold: probability from which on a label is heard; the classifier's own for each label without it.
        low: probability down to which a stretch goes on; half of the threshold without it.
        gap_s: stretches with at most so many seconds between them become one.
        raw: format of samples without a WAV header.
        rate: sample rate of raw samples, in Hz.
        channels: number of interleaved channels of raw samples.
    """
    from axlstm.audio.pcm import PcmFormat, open_stream, read_blocks, read_wav_header
    from axlstm.collection.classifiers.classifier import load_classifier
    from axlstm.collection.detections.live import ClassifierStream
    from axlstm.collection.detections.segments import make_rule
    from axlstm.embed.live import HOP_MS
    from axlstm.errors import AudioError, ConfigError
    from axlstm.hub import load_model

    if classifier is None:
        if threshold is not None or low is not None or gap_s:
            raise ConfigError("--threshold, --low and --gap-s are for detections: name a --classifier")
        embedder = load_model(model or "axlstm-tiny", revision=revision, **encoder)
    else:
        if each == "frame":
            raise ConfigError("--each frame: a classifier has probabilities of windows only")
        if each == "window" and (threshold is not None or low is not None or gap_s):
            raise ConfigError("--threshold, --low and --gap-s are for detections: leave them or --each window out")
        heard = load_classifier(classifier)
        rule = make_rule(heard.thresholds, threshold, low, gap_s)
    with sys.stdin.buffer if source == "-" else open_stream(source) as file:
        stored, size = (PcmFormat(raw, rate, channels), None) if raw else read_wav_header(file, source)
        faults: list[str] = []

        def blocks() -> Iterator[Any]:  # what came before a fault is embedded to its end
            try:
                yield from read_blocks(file, stored, size)
            except AudioError as error:
                faults.append(str(error))

        live: EmbeddingStream | ClassifierStream
        if classifier is None:
            options: dict[str, Any] = {"hop_ms": HOP_MS if hop_ms is None else hop_ms, "each": each or "frame"}
            live = embedder.stream(stored.sample_rate_hz, time_constant_s=time_constant_s, **options)
            lines = _embedding_lines(live, blocks())
        else:
            options = {"hop_ms": hop_ms, "model": model, "revision": revision, **changed_options(encoder)}
            live = ClassifierStream(heard, stored.sample_rate_hz, time_constant_s=time_constant_s, **options)
            is_each = each is not None
            lines = (_window_lines if is_each else partial(_segment_lines, rule))(live, heard.labels, blocks())
        promised = live.latency
        print(
            f"axlstm: first embedding after {promised.first_ms:g} ms of sound; each at most "
            f"{promised.algorithmic_ms:g} ms and the computing time behind it",
            file=sys.stderr,
        )
        is_given = False
        with suppress(KeyboardInterrupt):
            for line in lines:
                is_given = True
                if line:
                    print(json.dumps(line), flush=True)
            if not is_given:
                faults.append("ended before it had an embedding, which takes 25 ms of sound")
    measured = live.latency
    if measured.compute_ms is not None:
        pace = "kept up" if measured.keeps_up else f"did not keep up: a window every {measured.hop_ms:g} ms is too many"
        print(f"axlstm: {measured.compute_ms:.0f} ms of computing a window; {pace}", file=sys.stderr)
    if faults:
        raise AudioError(f"{source}: {'; '.join(faults)}")
    return 0


def _embedding_lines(live: EmbeddingStream, blocks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for time_ms, embedding in live.over(blocks):
        values = [float(str(value)) for value in embedding]  # the fewest digits that give the same float32
        yield {"time_ms": time_ms, "embedding": values}


def _window_lines(live: ClassifierStream, labels: tuple[str, ...], blocks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for block in live.over(blocks):
        for start_s, end_s, probabilities in zip(*block, strict=True):
            for label, probability in zip(labels, probabilities, strict=True):
                middle_ms = round(500 * (start_s + end_s), 3)
                yield {"time_ms": middle_ms, "label": label, "probability": float(str(probability))}


def _segment_lines(
    rule: Rule, live: ClassifierStream, labels: tuple[str, ...], blocks: Iterable[Any]
) -> Iterator[dict[str, Any]]:
    """Give a stretch when it has ended; an empty line says that there was a window without one."""
    from axlstm.collection.detections.segments import Segmenter

    segmenter = Segmenter(rule)
    with suppress(KeyboardInterrupt):  # what is heard at that moment is told
        for block in live.over(blocks):
            yield from ({} for _ in block.start_s[:1])
            yield from (_segment_line(labels, *segment) for segment in segmenter.add(*block))
    yield from (_segment_line(labels, *segment) for segment in segmenter.finish())


def _segment_line(labels: tuple[str, ...], start_s: float, end_s: float, label: int, score: float) -> dict[str, Any]:
    times = {"start_ms": round(1000 * start_s, 3), "end_ms": round(1000 * end_s, 3)}
    return {**times, "label": labels[label], "score": round(score, 6)}

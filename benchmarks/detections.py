"""Compare rules for segments, streams and exported classifiers with files, and memory of long files with short ones.

python -m benchmarks detections
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from axlstm.audio.read import load_audio
from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.collection.classifiers.classifier import Classifier
from axlstm.collection.collection import create
from axlstm.collection.detections import ClassifierStream, detect
from axlstm.collection.detections.segments import Segment, Segmenter, make_rule
from axlstm.collection.encoders import EmbedderWindows
from axlstm.samples import sample_path, sample_paths
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_long
from benchmarks.report import save

_TRAINED, _TRIED, _SECONDS = 40, 40, 40
_STEP_S = 0.1

Event = tuple[float, float]


def detections() -> int:
    """Mix calls of bundled birds into the other bundled sounds, train on some mixtures and detect in others."""
    rows: dict[str, list[Any]] = {"segments": [], "stream": [], "alone": [], "memory": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        events = {f"{number:03d}.wav": _mix(folder, number) for number in range(_TRAINED + _TRIED)}
        tried = [folder / "sounds" / name for name in list(events)[_TRAINED:]]
        for window_s, hop_s in ((1.0, 0.5), (2.0, 1.0), (5.0, 2.5)):
            classifier = _train(folder, events, window_s, hop_s)
            scores = folder / f"{window_s}.parquet"
            detect(classifier, tried, folder / "out.csv", scores=scores)
            for name, share in (("max", 0.25), ("max", 0.5), ("max", 0.75), ("max", 1.0), ("mean", 0.5), ("mean", 1.0)):
                found = _judge_rule(scores, events, name, share)
                rows["segments"].append({"window_s": window_s, "rule": name, "low": share, **found})
                print(f"{window_s:g} s, {name}, low {share:g}: {found}", flush=True)
            if window_s == 2.0:
                rows["stream"] = _compare_streams(classifier, tried, scores)
                rows["alone"] = [_compare_alone(classifier, tried, scores)]
                classifier.save(folder / "bird.model")
        for seconds in (600.0, 7200.0):
            path = write_long(folder / f"{seconds:g}.flac", seconds)
            command = [sys.executable, "-m", "benchmarks.detections", str(folder / "bird.model"), str(path)]
            peak = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            rows["memory"].append({"seconds": seconds, "peak_mib": peak})
            print(rows["memory"][-1], flush=True)
    save("detections", {"machine": describe_machine(), **rows})
    return 0


def _mix(folder: Path, seed: int) -> list[Event]:
    """Write a mixture, and return when birds are heard in it."""
    rng, sound = np.random.default_rng(seed), np.zeros(_SECONDS * SAMPLE_RATE_HZ, np.float32)
    birds = [load_audio(sample_path(name)) for name in ("bird_call", "bird_song")]
    others = [load_audio(path) for path in sample_paths() if not path.name.startswith("bird")]
    begin = 0
    while begin < len(sound):
        piece = _scaled(others[rng.integers(len(others))], rng.uniform(-20, 0))[: len(sound) - begin]
        sound[begin : begin + len(piece)] += piece
        begin += len(piece)
    events, at_s = [], rng.uniform(1, 6)
    while at_s < _SECONDS - 4:
        length_s, bird = rng.uniform(0.4, 3), birds[rng.integers(2)]
        first = rng.integers(len(bird) - int(length_s * SAMPLE_RATE_HZ))
        call = _scaled(bird[first : first + int(length_s * SAMPLE_RATE_HZ)], rng.uniform(-15, 0))
        place = int(at_s * SAMPLE_RATE_HZ)
        sound[place : place + len(call)] += call
        events.append((at_s, at_s + length_s))
        at_s += length_s + 0.5 + rng.exponential(6)
    (folder / "sounds").mkdir(exist_ok=True)
    soundfile.write(folder / "sounds" / f"{seed:03d}.wav", sound / 2, SAMPLE_RATE_HZ, "FLOAT")
    return events


def _scaled(sound: NDArray[np.float32], level_db: float) -> NDArray[np.float32]:
    return sound * np.float32(10 ** (level_db / 20) / (np.abs(sound).max() + 1e-9))


def _train(folder: Path, events: dict[str, list[Event]], window_s: float, hop_s: float) -> Classifier:
    names = list(events)[:_TRAINED]
    with create(folder / f"{window_s}.collection", folder / "sounds") as collection:
        collection.index([folder / "sounds" / name for name in names], window_s=window_s, hop_s=hop_s)
        for name in names:
            collection.label(name, "bird", verdict="no")
            for start_s, end_s in events[name]:
                collection.label(name, "bird", start_s, end_s)
        return collection.train("bird")


def _judge_rule(scores: Path, events: dict[str, list[Event]], name: str, share: float) -> dict[str, float]:
    """Find segments at a threshold of 0.5, and compare them with the calls."""
    counts = np.zeros(7)
    for path, (starts, ends, chances) in _read_scores(scores).items():
        if name == "mean":
            starts, ends, chances = _steps(starts, ends, chances)
        segmenter = Segmenter(make_rule([0.5], low=0.5 * share))
        found = segmenter.add(starts, ends, chances) + segmenter.finish()
        counts += _compare(found, events[Path(path).name])
    heard, calls, right, segments, common, marked, called = counts
    return {
        "calls": int(calls),
        "calls_found": round(float(heard / calls), 3),
        "segments_right": round(float(right / max(segments, 1)), 3),
        "f1_of_time": round(float(2 * common / (marked + called)), 3),
    }


def _steps(
    starts: NDArray[np.float64], ends: NDArray[np.float64], chances: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Take the mean of the windows that each step between two bounds lies in."""
    bounds = np.unique(np.concatenate([starts, ends]))
    first, last = bounds[:-1], bounds[1:]
    lies = (starts <= first[:, None]) & (ends >= last[:, None])  # (steps, windows)
    return first, last, (lies @ chances / lies.sum(axis=1, keepdims=True)).astype(np.float32)


def _compare(found: list[Segment], calls: list[Event]) -> NDArray[np.float64]:
    heard = sum(any(one.start_s < end_s and one.end_s > start_s for one in found) for start_s, end_s in calls)
    right = sum(any(one.start_s < end_s and one.end_s > start_s for start_s, end_s in calls) for one in found)
    steps = np.arange(0, _SECONDS, _STEP_S)
    is_found, is_call = (
        np.any([(steps >= one[0]) & (steps < one[1]) for one in stretches] or [np.zeros(len(steps), bool)], axis=0)
        for stretches in (found, calls)
    )
    return np.array(
        [heard, len(calls), right, len(found), (is_found & is_call).sum(), is_found.sum(), is_call.sum()], float
    )


def _compare_streams(classifier: Classifier, tried: list[Path], scores: Path) -> list[dict[str, Any]]:
    """Compare a stream's probabilities with those of files, each file a stream, and all of them one."""
    expected = _of_files(scores, tried)
    found = []
    for hop_ms in (2000.0, 1000.0):
        for name in ("each", "one stream"):
            streamed = []
            live = ClassifierStream(classifier, SAMPLE_RATE_HZ, hop_ms=hop_ms)
            for path in tried:
                if name == "each":
                    live = ClassifierStream(classifier, SAMPLE_RATE_HZ, hop_ms=hop_ms)
                blocks = [live.push(load_audio(path)), *([live.flush()] if name == "each" else [])]
                streamed.append(np.concatenate([block.probabilities for block in blocks])[:, 0])
            if name == "one stream":
                streamed = _cut_stream(np.concatenate([*streamed, live.flush().probabilities[:, 0]]), expected)
            found.append({"hop_ms": hop_ms, "sound": name, **_differences(streamed, expected)})
            print(found[-1], flush=True)
    return found


def _cut_stream(streamed: NDArray[np.float32], expected: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Cut the windows of one stream into those that lie in each file, a second apart."""
    return [streamed[_SECONDS * place : _SECONDS * place + len(own)] for place, own in enumerate(expected)]


def _compare_alone(classifier: Classifier, tried: list[Path], scores: Path) -> dict[str, Any]:
    """Compare windows that are clips by themselves, as an exported classifier has them, with windows in files."""
    encoder, found = classifier.load_encoder(), []
    assert isinstance(encoder, EmbedderWindows)
    expected = _of_files(scores, tried)
    for path, own in zip(tried, expected, strict=True):
        sound, hop = load_audio(path), round(classifier.encoder.hop_s * SAMPLE_RATE_HZ)
        clips = [sound[hop * place : hop * place + 2 * hop] for place in range(len(own))]
        vectors = np.stack([one.scene for one in encoder.embedder.embed_batch(clips, SAMPLE_RATE_HZ)])
        found.append(classifier.probabilities(vectors)[:, 0].astype(np.float32))
    result = _differences(found, expected)
    print("alone", result, flush=True)
    return result


def _of_files(scores: Path, tried: list[Path]) -> list[NDArray[np.float32]]:
    known = _read_scores(scores)
    return [known[str(path)][2][:, 0] for path in tried]


def _read_scores(
    scores: Path,
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]]:
    """Read starts and ends ``(n,)`` and probabilities ``(n, 1)`` of each recording's windows."""
    table = pq.read_table(scores)
    paths = np.array(table.column("path").to_pylist())
    columns = [table.column(name).to_numpy() for name in ("start_s", "end_s", "probability_bird")]
    found = {}
    for path in np.unique(paths):
        starts, ends, chances = (column[paths == path] for column in columns)
        found[str(path)] = starts, ends, chances[:, None]
    return found


def _differences(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> dict[str, float]:
    here, there = np.concatenate(found), np.concatenate(expected)
    return {
        "windows": len(there),
        "mean_difference": round(float(np.abs(here - there).mean()), 4),
        "on_the_same_side": round(float(((here >= 0.5) == (there >= 0.5)).mean()), 4),
        "heard_in_files": round(float((there >= 0.5).mean()), 4),
        "heard_here": round(float((here >= 0.5).mean()), 4),
    }


def main() -> None:
    """Detect in a file, and print the peak memory of it in MiB."""
    classifier, path = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        detect(classifier, [path], Path(folder, "out.csv"))
        with Path(folder, "out.csv").open(encoding="utf-8") as file:
            assert next(csv.reader(file))
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage counts what the parent had, too
    print(json.dumps(int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024))


if __name__ == "__main__":
    main()

"""Time folders of many short files and of a few long ones, decoding included: where does the time go?

python -m benchmarks many [--scale 1] [--rounds 1] [--works 10000x0.5 500x2 20x600 1x36000]

Each is embedded by the released algorithm and by what `axlstm embed` calls, beside two floors: plain decoding, and all
that is done for a file but the encoder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

import axlstm
from axlstm.embed.embedder import Embedder
from axlstm.store.batch import embed_files
from benchmarks.folder import scene
from benchmarks.machine import describe_machine
from benchmarks.recordings import write_folder
from benchmarks.released import ReleasedEmbedder
from benchmarks.report import save

WORKS = ("10000x0.5", "500x2", "20x600", "1x36000")
RELEASED, DECODING, AROUND = "released, eager float32", "plain decoding", "all but the encoder"
_RELEASED_SECONDS = 120.0  # of sound, at most: the released algorithm takes the same time for every window


def many(
    works: tuple[str, ...] = WORKS, scale: float = 1.0, rounds: int = 1, model: str = "axlstm-tiny", keep: bool = True
) -> int:
    """Embed each folder with every competitor in turn.

    The released algorithm embeds a share of the files, and its time is that share's, multiplied.

    Args:
        works: folders, as FILESxSECONDS.
        scale: share of the files of each folder, for a short run; a single file becomes that much shorter.
        rounds: times each competitor runs, after a short run that does not count.
        model: what `axlstm.load_model` takes.
        keep: write the result beside the others.
    """
    ways: dict[str, Embedder] = {
        "axlstm embed, float32": axlstm.load_model(model),
        "axlstm embed, bfloat16": axlstm.load_model(model, dtype="bfloat16"),
    }
    engines = {name: str(embedder.engine_choice) for name, embedder in ways.items()}
    around = axlstm.load_model(model)
    around._frames = _no_encoder(around)  # type: ignore[method-assign]
    released = ReleasedEmbedder(axlstm.load_model(model, engine=None))
    rows = []
    for work in works:
        files, seconds = _sizes(work, scale)
        with tempfile.TemporaryDirectory() as folder:
            paths = write_folder(Path(folder, "sounds"), files, seconds)
            runs: dict[str, Callable[[Sequence[Path]], object]] = {DECODING: _decode}
            for name, embedder in {AROUND: around, **ways}.items():
                runs[name] = _embed(embedder, Path(folder))
            print(f"{files} x {seconds:g} s")
            rows.append({"work": work, "files": files, "seconds": seconds})
            rows[-1] |= _compare(runs, released, paths, seconds, rounds)
        if keep:  # after each, for all of them take half an hour
            settings = {"model": model, "scale": scale, "engines": engines}
            save("many", {"machine": describe_machine(), **settings, "rows": rows}, by_family=True)
    return 0


def _sizes(work: str, scale: float) -> tuple[int, float]:
    files, seconds = work.split("x")
    if int(files) == 1:
        return 1, float(seconds) * scale
    return max(2, round(int(files) * scale)), float(seconds)


def _compare(
    runs: dict[str, Callable[[Sequence[Path]], object]],
    released: ReleasedEmbedder,
    paths: Sequence[Path],
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    share = paths[: max(1, round(_RELEASED_SECONDS / seconds))]
    # Of one long file, the release gets as much as it gets of others.
    released_s = min(seconds, _RELEASED_SECONDS)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in (RELEASED, *runs)}
    for turn in range(rounds + 1):
        is_warm = turn > 0
        begin = time.perf_counter(), time.process_time()
        for path in share if is_warm else share[:1]:
            _embed_as_released(released, path, released_s)
        factor = len(paths) * seconds / (len(share) * released_s)
        if is_warm:
            wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
            times[RELEASED].append((wall * factor, cpu * factor))
        for name, run in runs.items():
            begin = time.perf_counter(), time.process_time()
            run(paths if is_warm or (len(paths) == 1 and seconds < 600) else paths[:16] if len(paths) > 1 else [])
            if is_warm:
                times[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    told: dict[str, Any] = {}
    for name, measured in times.items():
        wall, cpu = (median(column) for column in zip(*measured, strict=True))
        ratios = sorted(slow[0] / fast[0] for slow, fast in zip(times[RELEASED], measured, strict=True))
        told[name] = {"wall_s": wall, "cpu_s": cpu, "ratio": [ratios[0], median(ratios), ratios[-1]], "runs": measured}
        print(
            f"  {name:26} {wall:9.2f} s ({cpu:8.2f} s of processors)  {median(ratios):7.2f}x the released speed, "
            f"{len(paths) / wall:8.1f} files/s, {len(paths) * seconds / wall:8.0f}x real time",
            flush=True,
        )
    return told


def _embed_as_released(released: ReleasedEmbedder, path: Path, seconds: float) -> None:
    if soundfile.info(path).duration <= seconds:
        scene(released, path)
        return
    samples, _ = soundfile.read(path, dtype="float32", frames=round(seconds * 16_000))
    released.embed(torch.from_numpy(samples)).mean(dim=0)


def _decode(paths: Sequence[Path]) -> None:
    for path in paths:
        with soundfile.SoundFile(path) as file:
            while len(file.read(1 << 20, dtype="float32")):
                pass


def _embed(embedder: Embedder, folder: Path) -> Callable[[Sequence[Path]], object]:
    def run(paths: Sequence[Path]) -> None:
        if paths:
            out = folder / "out.parquet"
            embed_files(embedder, paths, out)
            out.unlink()

    return run


def _no_encoder(embedder: Embedder) -> Callable[..., list[Tensor]]:
    size, patch_frames = embedder.timestamp_embedding_size, embedder.config.patch_frames
    rng = np.random.default_rng(0)
    some = torch.from_numpy(rng.standard_normal((embedder.config.grid_frames, size)).astype(np.float32))

    def frames(windows: Sequence[Tensor], device: str = "cpu") -> list[Tensor]:
        del device
        return [some[: len(window) // patch_frames] for window in windows]

    return frames

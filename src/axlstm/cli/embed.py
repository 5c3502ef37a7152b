"""``axlstm embed``: sound files to a file of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

# What every command that loads a model takes.
Model = Annotated[str, arg(aliases=["-m"], help="a model folder, .safetensors, .pth, run folder, name or Hub id")]
Layout = Literal["time", "published"]
Pooling = Literal["mean", "mean+deviation"]
Precision = Literal["float32", "bfloat16", "float16"]


def embed(
    files: Positional[tuple[Path, ...]],
    out: Annotated[Path, arg(aliases=["-o"])],
    model: Model = "axlstm-tiny",
    scene: bool = True,
    frames: bool = False,
    layout: Layout = "time",
    device: str = "cpu",
    dtype: Precision = "float32",
    layers: tuple[int, ...] = (),
    pooling: Pooling = "mean",
    engine: str | None = None,
) -> int:
    """Embed sound files and folders of them into one file.

    Unreadable files are skipped and listed in OUT.skipped.jsonl. A second run does only what is new or was
    interrupted.

    Args:
        files: sound files, or folders that are searched with all below them.
        out: .parquet, .npz or .csv.
        model: where the weights are.
        scene: keep one embedding for each file.
        frames: keep one embedding for each 40 ms, with its time.
        layout: frames in the order of time, or as the release computes them.
        device: cpu, cuda, cuda:N, mps or auto.
        dtype: precision of the encoder.
        layers: hidden states to embed with, in place of the last layer's output.
        pooling: of a file's frames to its embedding: mean, or mean+deviation, of twice the size.
        engine: of the encoder on a CPU, in place of torch's threads: processes (for large folders), openvino or
            onnxruntime.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from axlstm.audio.find import find_audio
    from axlstm.files import readable_name
    from axlstm.hub import load_model
    from axlstm.store.batch import embed_files

    found = find_audio(list(files))
    embedder = load_model(
        model, layout, device=device, dtype=dtype, layers=layers or None, pooling=pooling, engine=engine
    )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("embedding", total=len(found))
        summary = embed_files(
            embedder,
            found,
            out,
            scene=scene,
            frames=frames,
            progress=lambda files: progress.advance(task, files),
        )
    written = readable_name(out)
    parts = [f"{summary.embedded} embedded"]
    parts += [f"{summary.resumed} there already"] if summary.resumed else []
    parts += [f"{len(summary.skipped)} skipped ({written}.skipped.jsonl)"] if summary.skipped else []
    print(f"{written}: {', '.join(parts)}")
    for path, reason in summary.skipped[:3]:
        print(f"  skipped {reason if path in reason else f'{path}: {reason}'}")
    return 0 if summary.embedded + summary.resumed else 1

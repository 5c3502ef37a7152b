"""``axlstm embed``: sound files to a file of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions

Model = Annotated[str, arg(aliases=["-m"], help="a model folder, .safetensors, .pth, run folder, name or Hub id")]
Revision = Annotated[str | None, arg(help="branch, tag or commit of a Hub id; its newest weights by default")]
Encoder = Annotated[EmbedderOptions, OmitArgPrefixes]


def embed(
    files: Positional[tuple[Path, ...]],
    out: Annotated[Path, arg(aliases=["-o"])],
    model: Model = "axlstm-tiny",
    scene: bool = True,
    frames: bool = False,
    revision: Revision = None,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Embed sound files and folders of them into one file.

    Unreadable files are skipped and listed in OUT.skipped.jsonl. A second run does only what is new or was
    interrupted.

    Args:
        files: sound files, or folders that are searched with all below them.
        out: .parquet, .npz or .csv.
        scene: keep one embedding for each file.
        frames: keep one embedding for each 40 ms, with its time.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from axlstm.audio.find import find_audio
    from axlstm.files import readable_name
    from axlstm.hub import load_model
    from axlstm.store.batch import embed_files

    found = find_audio(list(files))
    embedder = load_model(model, revision=revision, **encoder)
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

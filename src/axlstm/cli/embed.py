"""Embed sound files into one file: ``axlstm embed``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from axlstm.cli.progress import Progress
from axlstm.options import EMBEDDER_DEFAULTS, EmbedderOptions

Model = Annotated[str, arg(aliases=["-m"], help="a model folder, .safetensors, .pth, run folder, name or Hub id")]
Revision = Annotated[str | None, arg(help="branch, tag or commit of a Hub id")]
Encoder = Annotated[EmbedderOptions, OmitArgPrefixes]

SHOWN_SKIPS = 3


def embed(
    files: Positional[tuple[Path, ...]],
    out: Annotated[Path, arg(aliases=["-o"])],
    model: Model = "axlstm-tiny",
    scene: bool = True,
    frames: bool = False,
    window_s: float | None = None,
    hop_s: float | None = None,
    revision: Revision = None,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Embed sound files and folders of them into one file.

    What cannot be read is skipped and listed in OUT.skipped.jsonl; entries of folders that are not sound are counted. A
    second run embeds only what is new, changed or was interrupted. The exit status is 0 if OUT has a row of anything
    that was asked for, and 1 if not.

    Args:
        files: sound files or pipes, or folders to search with all their subfolders.
        out: .parquet, .npz or .csv.
        scene: write one embedding for each file.
        frames: write one embedding for each 40 ms, with its time.
        window_s: write one embedding for each window of so many seconds, from 0.2 up, in place of the file's.
        hop_s: seconds from the start of a window to that of the next; as long as a window if not given.
    """
    from axlstm.audio.find import describe_not_sound, find_audio
    from axlstm.embed.window_lengths import Windows
    from axlstm.errors import ConfigError
    from axlstm.files import readable_name
    from axlstm.hub import load_model
    from axlstm.store.batch import embed_files

    if hop_s is not None and window_s is None:
        raise ConfigError("--hop-s is the distance of windows: give their length as --window-s too")
    windows = None if window_s is None else Windows(window_s, hop_s)
    found = find_audio(files)
    embedder = load_model(model, revision=revision, **encoder)
    with Progress("embedding", len(found.files)) as progress:
        advance = progress.advance
        summary = embed_files(embedder, found, out, scene=scene, frames=frames, windows=windows, progress=advance)
    written = readable_name(out)
    rows = "its earlier row, which is kept" if summary.changed == 1 else "their earlier rows, which are kept"
    of_them = [f"{summary.windows} window{'s' * (summary.windows != 1)}"] if summary.windows else []
    of_them += [f"{summary.changed} with content other than {rows}"] if summary.changed else []
    parts = [f"{summary.embedded} embedded" + (f" ({'; '.join(of_them)})" if of_them else "")]
    parts += [f"{summary.resumed} there already"] if summary.resumed else []
    parts += [f"{len(summary.skipped)} skipped ({written}.skipped.jsonl)"] if summary.skipped else []
    parts += [describe_not_sound(summary.not_sound)] if summary.not_sound else []
    print(f"{written}: {', '.join(parts)}")
    print_skipped(summary.skipped)
    return 0 if summary.embedded + summary.resumed else 1


def changed_options(encoder: EmbedderOptions) -> dict[str, Any]:
    """Return the options that are not the default ones, for an encoder that has its own already."""
    defaults = dict(EMBEDDER_DEFAULTS)
    return {name: value for name, value in encoder.items() if value != defaults[name]}


def print_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Print the first few of the files that were left out, and why."""
    for path, reason in skipped[:SHOWN_SKIPS]:
        print(f"  skipped {reason if path in reason else f'{path}: {reason}'}")
    if len(skipped) > SHOWN_SKIPS:
        print(f"  and {len(skipped) - SHOWN_SKIPS} more")

"""Embed sound files into one file or a folder of parts: ``axlstm embed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from axlstm.cli.parts import Parts, run_parts
from axlstm.cli.progress import Progress
from axlstm.options import EMBEDDER_DEFAULTS, PART_DEFAULTS, EmbedderOptions

if TYPE_CHECKING:
    from axlstm.parts.drive import Report
    from axlstm.parts.folders import Folder
    from axlstm.parts.plan import Limits, Plan
    from axlstm.store.batch import Summary

Model = Annotated[str, arg(aliases=["-m"], help="a model folder, .safetensors, .pth, run folder, name or Hub id")]
Revision = Annotated[str | None, arg(help="branch, tag or commit of a Hub id")]
Encoder = Annotated[EmbedderOptions, OmitArgPrefixes]

SHOWN_SKIPS = 3


def embed(
    files: Positional[tuple[str, ...]],
    out: Annotated[str, arg(aliases=["-o"])],
    model: Model = "axlstm-tiny",
    scene: bool = True,
    frames: bool = False,
    window_s: float | None = None,
    hop_s: float | None = None,
    revision: Revision = None,
    parts: Parts = PART_DEFAULTS,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Embed sound files and folders of them into one file, or into a folder of parts.

    What cannot be read is skipped and listed in OUT.skipped.jsonl; entries of folders that are not sound are counted. A
    second run embeds only what is new, changed or was interrupted. The exit status is 0 if OUT has a row of anything
    that was asked for, and 1 if not.

    If OUT is a folder, or a name without a suffix, the recordings are cut into parts, and workers write a parquet
    file for each (docs/scale.md). Skipped ones are in OUT/_skipped.jsonl. The same command goes on after an
    interruption, with the recordings that were listed at first; axlstm status OUT tells how far it is. The exit status
    is 1 also if a part is missing.

    Args:
        files: sound files or pipes, or folders to search with all their subfolders; for a folder OUT, also
            URLs of them, and tar, zip and parquet files with sound in them.
        out: .parquet, .npz or .csv, or a folder, which can be a URL.
        scene: write one embedding for each file.
        frames: write one embedding for each 40 ms, with its time.
        window_s: write one embedding for each window of so many seconds, from 0.2 up, in place of the file's.
        hop_s: seconds from the start of a window to that of the next; as long as a window if not given.
    """
    from axlstm.audio.find import find_audio
    from axlstm.embed.light import open_embedder
    from axlstm.embed.window_lengths import Windows
    from axlstm.errors import ConfigError
    from axlstm.remote import is_url
    from axlstm.store.batch import embed_files
    from axlstm.store.parts import earlier_fingerprint

    if hop_s is not None and window_s is None:
        raise ConfigError("--hop-s is the distance of windows: give their length as --window-s too")
    windows = None if window_s is None else Windows(window_s, hop_s)
    path = Path(out)
    if is_url(out) or not path.suffix or path.is_dir():
        if parts["part_folder"] is not None:
            raise ConfigError(f"--part-folder: the parts are the output itself, {out}; leave it out")
        settings = {"model": model, "revision": revision, "scene": scene, "frames": frames, "windows": windows}
        plan = partial(_plan, files, out, {**settings, **encoder})
        return run_parts(out, parts, encoder["device"], plan, "embedding")
    if given := [name for name, value in PART_DEFAULTS.items() if parts.get(name) != value]:
        option = given[0].replace("_", "-")
        raise ConfigError(f"--{option} is for parts: give a folder for OUT, a name without a suffix, not {out}")
    if urls := [file for file in files if is_url(file)]:
        raise ConfigError(f"{urls[0]}: a URL needs a folder for OUT: give a name without a suffix, not {out}")
    found = find_audio(map(Path, files))
    if path.suffix == ".parquet":
        Thread(target=import_module, args=["pyarrow.parquet"]).start()  # while OpenVINO starts, which is not in Python
    embedder = open_embedder(model, earlier_fingerprint(path), revision=revision, **encoder)
    with Progress("embedding", len(found.files)) as progress:
        advance = progress.advance
        summary = embed_files(embedder, found, path, scene=scene, frames=frames, windows=windows, progress=advance)
    return _print_summary(path, summary)


def _plan(files: Sequence[str], out: str, options: Mapping[str, Any], limits: Limits) -> tuple[Folder, Plan]:
    from axlstm.store.dataset import plan_dataset

    return plan_dataset(sources=files, out=out, limits=limits, **options)


def _print_summary(out: Path, summary: Summary) -> int:
    from axlstm.audio.find import describe_not_sound
    from axlstm.files import readable_name

    written = readable_name(out)
    rows = "its earlier row, which is kept" if summary.changed == 1 else "their earlier rows, which are kept"
    of_them = [f"{summary.windows} window{'s' * (summary.windows != 1)}"] if summary.windows else []
    of_them += [f"{summary.changed} with content other than {rows}"] if summary.changed else []
    told = [f"{summary.embedded} embedded" + (f" ({'; '.join(of_them)})" if of_them else "")]
    told += [f"{summary.resumed} there already"] if summary.resumed else []
    told += [f"{len(summary.skipped)} skipped ({written}.skipped.jsonl)"] if summary.skipped else []
    told += [describe_not_sound(summary.not_sound)] if summary.not_sound else []
    print(f"{written}: {', '.join(told)}")
    print_skipped(summary.skipped)
    return 0 if summary.embedded + summary.resumed else 1


def tell_parts(out: str, report: Report) -> int:
    """Print what became of an output of parts; returns the exit status."""
    from axlstm.audio.find import describe_not_sound
    from axlstm.files import readable_name

    written, summary = readable_name(out), report.summary
    before = f" ({report.there} of these recordings were there already)" if report.there else ""
    told = [f"{summary.embedded} embedded in {summary.parts - len(summary.missing)} parts"]
    told += [f"{summary.skipped} skipped ({written}/_skipped.jsonl)"] if summary.skipped else []
    told += [describe_not_sound(summary.not_sound)] if summary.not_sound else []
    print(f"{written}: {', '.join(told)}{before}")
    for reason, count in list(summary.reasons.items())[:SHOWN_SKIPS]:
        print(f"  skipped {count}: {reason}")
    if more := sum(list(summary.reasons.values())[SHOWN_SKIPS:]):
        print(f"  and {more} more")
    return 0 if summary.embedded else 1


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

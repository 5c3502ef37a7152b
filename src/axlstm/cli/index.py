"""Index recordings into a collection: ``axlstm index``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from axlstm.cli.embed import SHOWN_SKIPS, Encoder, Revision, print_skipped
from axlstm.cli.parts import Parts, run_parts, wants_parts
from axlstm.cli.progress import Progress
from axlstm.options import EMBEDDER_DEFAULTS, PART_DEFAULTS

if TYPE_CHECKING:
    from axlstm.collection.indexing import IndexSummary
    from axlstm.parts.drive import Report

_SHOWN = 3


def index(
    recordings: Positional[tuple[str, ...]],
    out: Annotated[Path, arg(aliases=["-o"])],
    model: Annotated[str | None, arg(aliases=["-m"])] = None,
    name: str = "",
    window_s: float | None = None,
    hop_s: float | None = None,
    metadata: Path | None = None,
    root: Path | None = None,
    revision: Revision = None,
    parts: Parts = PART_DEFAULTS,
    encoder: Encoder = EMBEDDER_DEFAULTS,
) -> int:
    """Index recordings into a collection: find sound, embed its windows, and keep them to be searched and labelled.

    The same command takes up an interrupted run. A later one takes further recordings, follows those that were moved or
    changed, and says which are gone. The exit status is 0 if the collection has windows of anything that was asked for,
    and 1 if not.

    With --runner, workers embed the windows in parts, and they are entered when all parts are done (docs/scale.md).

    Args:
        recordings: sound files, or folders to search with all their subfolders.
        out: folder of the collection; it is made if it is not there.
        model: an axlstm model as `axlstm embed` takes it; logmel; a HEAR-API module, as path/to/file.py or module:NAME,
            with @WEIGHTS; or a file that `axlstm export` wrote. None takes the collection's, or axlstm-tiny.
        name: of the encoder in the collection. A collection can have several.
        window_s: length of a window in seconds; 5 unless the encoder has another one there.
        hop_s: seconds from a window to the next; half a window unless the encoder has another one there.
        metadata: CSV table with a column path (of a recording or of a folder, below the root) and any others, such as
            site, latitude, longitude, recorded_at. It is for all recordings of the collection.
        root: folder that paths are relative to, of a new collection. None takes the one that all recordings share.
    """
    from axlstm.audio.find import find_audio
    from axlstm.collection.collection import create, open
    from axlstm.collection.description import is_collection
    from axlstm.collection.indexing import common_folder
    from axlstm.collection.indexing import index as index_found
    from axlstm.collection.loading import choose_encoder
    from axlstm.collection.metadata import read_metadata
    from axlstm.collection.planned import plan_index
    from axlstm.errors import ConfigError
    from axlstm.parts.opening import work_folder
    from axlstm.remote import is_url

    in_parts = wants_parts(parts)
    if urls := [name for name in recordings if is_url(name)]:
        raise ConfigError(
            f"{urls[0]}: a collection comes back to its recordings, which must be on the disk; axlstm embed takes "
            "URLs, and axlstm search what it wrote"
        )
    paths = [Path(name) for name in recordings]
    table = None if metadata is None else read_metadata(metadata)
    found = find_audio(paths, without=out)
    is_new = not is_collection(out)
    if root is not None and not is_new:
        raise ConfigError(f"--root {root}: {out} has its root already; axlstm collection relocate moves it")
    options = {"revision": revision, **encoder}
    if is_new:
        chosen = choose_encoder(None, model, name, window_s, hop_s, **options)
        create(out, root or common_folder(paths)).close()
    with open(out) as collection:
        if not is_new:
            chosen = choose_encoder(collection, model, name, window_s, hop_s, **options)
        if in_parts:
            place = parts["part_folder"] or work_folder(out)
            plan = partial(plan_index, collection, chosen, recordings, found, place, metadata=metadata, **encoder)
            return run_parts(str(out), parts, encoder["device"], plan, "indexing")
        with Progress("indexing", len(found.files)) as progress:
            summary = index_found(collection, chosen, found, table, progress.advance)
    return _tell(out, summary, str(metadata))


def tell_parts(out: str, report: Report) -> int:
    """Account for what was indexed in parts; returns the exit status."""
    return _tell(Path(out), report.gathered, "the table")


def _tell(out: Path, summary: IndexSummary, table: str) -> int:
    from axlstm.errors import name_some

    print_summary(out, summary)
    if summary.unmatched:
        print(f"  rows of {table} that are of no recording: {name_some(summary.unmatched, most=_SHOWN)}")
    return 0 if summary.embedded + summary.there else 1


def print_summary(out: Path, summary: IndexSummary) -> None:
    """Account for all that was to be indexed into a collection."""
    from axlstm.audio.find import describe_not_sound
    from axlstm.errors import name_some
    from axlstm.files import readable_name

    written = readable_name(out)
    changed = f", {summary.changed} of them with content other than before" if summary.changed else ""
    windows = f" ({summary.windows} windows{changed})" if summary.embedded else ""
    parts = [f"{summary.embedded} embedded{windows}"]
    moved = f" ({summary.moved} moved)" if summary.moved else ""
    parts += [f"{summary.there} there already{moved}"] if summary.there else []
    parts += [f"{len(summary.skipped)} skipped"] if summary.skipped else []
    parts += [describe_not_sound(summary.not_sound)] if summary.not_sound else []
    print(f"{written}: {', '.join(parts)}")
    print_skipped(summary.skipped)
    if len(summary.skipped) > SHOWN_SKIPS:
        print(f"  axlstm collection info {written} --skipped lists all that was skipped")
    if summary.labels_left:
        print(f"  labels of contents that their files have no more: {summary.labels_left}, which are kept as such")
    if summary.gone:
        some = name_some(summary.gone, most=_SHOWN)
        print(f"  not on the disk any more, and kept: {some}; axlstm collection remove removes recordings")

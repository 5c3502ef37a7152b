"""Look after a collection: ``axlstm collection info|verify|remove|compact|merge|relocate|map|export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from axlstm.cli.progress import Progress
from axlstm.options import CollectionFormat

if TYPE_CHECKING:
    from axlstm.parts.folders import Folder
    from axlstm.parts.plan import Plan

_SHOWN = 5


def info(collection: Positional[Path], skipped: bool = False) -> int:
    """Describe a collection: its recordings, its encoders and their windows, its labels.

    Args:
        collection: its folder.
        skipped: list what the last run of axlstm index skipped instead, one a line.
    """
    from axlstm.collection.about import describe_collection, list_skipped
    from axlstm.collection.collection import open
    from axlstm.show.describe import as_lines

    with open(collection) as opened:
        for line in list_skipped(opened) if skipped else as_lines(describe_collection(opened)):
            print(line)
    return 0


def verify(collection: Positional[Path], recordings: bool = False) -> int:
    """Read all of a collection and name each damage. The exit status is 1 if there is any.

    Args:
        collection: its folder.
        recordings: read the recordings too, and compare them with what was indexed.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.verify import count_work
    from axlstm.collection.verify import verify as find_faults

    faults = 0
    with open(collection) as opened, Progress() as progress:
        progress.stage("verifying", count_work(opened, recordings=recordings))
        for fault in find_faults(opened, recordings=recordings, progress=progress.advance):
            faults += 1
            print(fault)
    print(f"{collection}: {f'{faults} faults' if faults else 'sound'}")
    return 1 if faults else 0


def remove(
    collection: Positional[Path],
    paths: Positional[tuple[Path, ...]] = (),
    gone: bool = False,
) -> int:
    """Remove recordings from a collection; their files and their labels stay as they are.

    Their windows are not found any more. `axlstm collection compact` gives their room back.

    Args:
        collection: its folder.
        paths: of recordings, or of folders of them, as the collection has them or as they are on the disk.
        gone: remove all recordings that are not on the disk.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.upkeep import remove as remove_recordings
    from axlstm.errors import ConfigError, name_some

    if not paths and not gone:
        raise ConfigError("nothing to remove: name recordings or folders, or give --gone")
    with open(collection) as opened:
        removed = remove_recordings(opened, paths, gone=gone)
    labels = f"; their {removed.labels} labels are kept" if removed.labels else ""
    some = f": {name_some(removed.paths, most=_SHOWN)}" if removed.paths else ""
    earlier = f"; {len(removed.earlier)} had been removed before" if removed.earlier else ""
    print(f"{collection}: {len(removed.paths)} removed{some}{labels}{earlier}")
    return 0


def compact(collection: Positional[Path]) -> int:
    """Rewrite a collection without the windows of removed recordings, and put small parts together.

    Args:
        collection: its folder.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.upkeep import compact as compact_parts

    with open(collection) as opened:
        done = compact_parts(opened)
    before, after = f"{done.bytes_before / 1e6:.1f} MB", f"{done.bytes / 1e6:.1f} MB"
    print(f"{collection}: {done.parts_before} parts of {before} are now {done.parts} of {after}")
    return 0


def merge(collection: Positional[Path], others: Positional[tuple[Path, ...]]) -> int:
    """Take the recordings, windows and labels of other collections over; they stay as they are.

    Recordings with the same content are kept once, and so are encoders with the same numbers and windows.

    Args:
        collection: folder of the collection that gets everything.
        others: folders of the others.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.merging import merge as merge_into
    from axlstm.errors import ConfigError, name_some

    if not others:
        raise ConfigError("nothing to merge: name the other collections behind the one that gets everything")
    with open(collection) as into:
        for folder in others:
            with open(folder) as other:
                done = merge_into(into, other)
            came = f"{done.recordings} recordings, {done.windows} windows and {done.labels} labels"
            print(f"{collection}: {came} from {folder}; {done.shared} recordings were there")
            for theirs, ours in done.renamed:
                print(f"  its encoder {theirs} is another one than the one here, and is called {ours} now")
            if done.other_content:
                some = name_some(done.other_content, most=_SHOWN)
                print(f"  other content than here, kept as removed recordings: {some}")
    return 0


def relocate(collection: Positional[Path], root: Positional[Path]) -> int:
    """Say where the recordings of a collection lie now, and how many of them are there.

    Args:
        collection: its folder.
        root: folder that the paths of recordings are relative to.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.upkeep import relocate as move_root
    from axlstm.errors import name_some

    with open(collection) as opened:
        done = move_root(opened, root)
    print(f"{collection}: {done.found} of {done.found + len(done.missing)} recordings found in {root}")
    if done.missing:
        print(f"  missing, or of another size: {name_some(done.missing, most=_SHOWN)}")
    return 0


def map(collection: Positional[Path], encoder: str | None = None) -> int:
    """Draw the map of a collection's windows anew, which `axlstm explore` shows.

    The map that was there is kept until the new one is whole. Example: axlstm collection map birds.collection

    Args:
        collection: its folder.
        encoder: name of the encoder; needed if there are several.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.maps.draw import draw_map
    from axlstm.collection.search.table import WindowTable

    with open(collection) as opened, Progress("drawing the map", 100) as progress:
        table = WindowTable(opened, opened.encoder(encoder))
        draw_map(opened, table, lambda share: progress.update(100 * share))
    print(f"{collection}: a map of {len(table)} windows of {table.entry.name}")
    return 0


def export(
    collection: Positional[str],
    out: Annotated[str, arg(aliases=["-o"])],
    format: Annotated[CollectionFormat, arg(aliases=["-f"])] = "parquet",
    encoder: str | None = None,
) -> int:
    """Write the windows of a collection for other programs: one row each, with its recording and its vector.

    What axlstm embed wrote for many recordings can be written to LanceDB too, on the disk or in an object store, with
    an index of Lance's; axlstm search takes it (docs/scale.md). Example:
    axlstm collection export s3://results/2026 -o s3://results/2026.lance -f lancedb

    Args:
        collection: its folder; or the folder of parts that axlstm embed wrote, a path or a URL.
        out: a .parquet file; or a folder, for LanceDB's table `windows`, or for perch-hoplite's database. Of a folder
            of parts also a URL.
        format: lancedb and hoplite need the extras of these names.
        encoder: name of the encoder; needed if there are several.
    """
    from axlstm.collection.collection import open
    from axlstm.collection.description import is_collection
    from axlstm.collection.exporting import export_windows
    from axlstm.errors import ConfigError
    from axlstm.parts.opening import open_folder
    from axlstm.parts.plan import read_plan
    from axlstm.remote import is_url

    if is_url(collection) or not is_collection(Path(collection)):
        folder = open_folder(collection)
        if (plan := read_plan(folder)) is not None:
            return _export_parts(folder, plan, out, format)
    if urls := [place for place in (collection, out) if is_url(place)]:
        raise ConfigError(f"{urls[0]}: expected a folder of parts that axlstm embed wrote; a collection is on the disk")
    with open(Path(collection)) as opened:
        rows = export_windows(opened, opened.encoder(encoder), Path(out), format)
    print(f"{out}: {rows} windows")
    return 0


def _export_parts(folder: Folder, plan: Plan, out: str, format: CollectionFormat) -> int:
    from axlstm.errors import ConfigError
    from axlstm.files import readable_name
    from axlstm.store.lance import write_lance
    from axlstm.store.vectors import VectorSet

    if format != "lancedb":
        raise ConfigError(f"--format {format}: {folder.name} is a folder of parquet files already; expected lancedb")
    with Progress("rows") as progress:
        summary = write_lance(VectorSet(folder, plan), out, progress.advance)
    told = "with an IVF-PQ index" if summary.is_indexed else "without an index, since there are few"
    print(f"{readable_name(out)}: {summary.rows} rows, {told}")
    return 0

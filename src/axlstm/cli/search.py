"""Search a collection for windows that sound like a query: ``axlstm search``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from axlstm.cli.repeated import Repeated
from axlstm.options import Combine, HitFormat

if TYPE_CHECKING:
    from axlstm.collection.collection import Collection
    from axlstm.collection.search.hits import Hits

OnePer = Literal["recording"]


def search(
    collection: Positional[str],
    query: Positional[tuple[str, ...]] = (),
    count: Annotated[int, arg(aliases=["-k"])] = 20,
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    format: HitFormat | None = None,
    clips: Path | None = None,
    unlike: Repeated = (),
    label: str | None = None,
    combine: Combine = "mean",
    encoder: str | None = None,
    where: Repeated = (),
    path: Repeated = (),
    after: str | None = None,
    before: str | None = None,
    hours: str | None = None,
    labelled: Repeated = (),
    not_labelled: Repeated = (),
    one_per: OnePer | None = None,
    apart_s: float | None = None,
    within: bool = False,
    exact: bool = False,
) -> int:
    """Search a collection for windows that sound like a query.

    A query is a sound file, or a recording of the collection, with @1.5-3.0 behind it for a stretch in seconds; several
    are examples of one thing. Windows that overlap the query or a better hit are no hits. The exit status is 1 if there
    are none, or no clip of any. Example: axlstm search birds.collection owl.wav@1.5-3.0 -k 50 -o hits.csv

    Args:
        collection: folder of the collection; or what axlstm embed wrote for many recordings, a folder of parts, or a
            LanceDB table of it, as a path or a URL. Of those, the query, --unlike, -k, -o and --exact apply alone.
        query: examples of what is wanted.
        count: number of hits.
        out: a file for the hits, .csv or .json; with --format raven a selection table, with --format audacity a folder
            with a label track for each recording. Without it, a table is printed.
        format: of the file.
        clips: a new folder, which the hits are cut into as WAV files.
        unlike: an example of what is not wanted; given again, a further one.
        label: search for what this label's windows with a yes sound like, and those with a no do not.
        combine: compare with the mean of the examples, or with each of them.
        encoder: its name, if the collection has several.
        where: a condition on the recordings, such as site=A or latitude>50; given again, a further one.
        path: a pattern of paths in the collection, such as north/*; given again, another one.
        after: a day or moment, 2024-05-01 or 2024-05-01T04:30, by the recorder's clock.
        before: a day or moment.
        hours: of the day, such as 4-7 or 22-4.
        labelled: a label that a window must have; given again, a further one.
        not_labelled: a label that nothing has been said about in a window; given again, a further one.
        one_per: one hit for each recording.
        apart_s: least seconds between the middles of two hits of a recording; 0 allows all windows.
        within: find where in each hit the query's sound is, by frames of 40 ms.
        exact: compare every window, also where the extra `search` has an index for large collections.
    """
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.description import is_collection
    from axlstm.collection.search.datasets import is_dataset
    from axlstm.remote import is_url

    written = check_targets(out, format, clips)
    if is_url(collection) or (not is_collection(Path(collection)) and is_dataset(collection)):
        others = {
            **{"--clips": clips, "--label": label, "--encoder": encoder, "--where": where, "--path": path},
            **{"--after": after, "--before": before, "--hours": hours, "--labelled": labelled, "--within": within},
            **{"--not-labelled": not_labelled, "--one-per": one_per, "--combine": combine != "mean"},
            **{"--apart-s": apart_s is not None, "--format": written in ("raven", "audacity")},
        }
        return _search_dataset(collection, query, unlike, count, exact, out, written, others)
    with open_collection(Path(collection)) as opened:
        hits = opened.search(
            query,
            unlike=unlike,
            label=label,
            combine=combine,
            count=count,
            encoder=encoder,
            one_per_recording=one_per == "recording",
            apart_s=apart_s,
            within=within,
            exact=exact,
            where=where,
            path=path,
            after=after,
            before=before,
            hours=hours,
            labelled=labelled,
            not_labelled=not_labelled,
        )
        return write_found(opened, hits, out, written, clips)


def _search_dataset(
    place: str,
    query: tuple[str, ...],
    unlike: Sequence[str],
    count: int,
    exact: bool,
    out: Path | None,
    written: HitFormat | None,
    others: Mapping[str, object],
) -> int:
    from axlstm.collection.search.datasets import search_dataset
    from axlstm.collection.search.output import format_hits
    from axlstm.errors import ConfigError
    from axlstm.files import write_atomically

    if given := [name for name, value in others.items() if value]:
        raise ConfigError(f"{given[0]}: for a collection; {place} is none (axlstm index makes one)")
    hits = search_dataset(place, query, unlike, count, exact)
    if out is None or written is None:
        _print_table(hits)
    else:
        write_atomically(out, format_hits(hits, written).encode())
        print(f"{out}: {len(hits)} hit{'' if len(hits) == 1 else 's'}")
    return 0 if len(hits) else 1


def check_targets(out: Path | None, format: HitFormat | None, clips: Path | None) -> HitFormat | None:
    """Return the format of the file of hits, before anything is searched for.

    Raises:
        ConfigError: a format without a file, a name that tells none, or a folder that is there and is not empty.
    """
    from axlstm.collection.new_folders import check_is_new
    from axlstm.collection.search.output import choose_format
    from axlstm.errors import ConfigError

    if format is not None and out is None:
        raise ConfigError(f"--format {format}: of a file of hits; name one with --out")
    written = None if out is None else choose_format(out, format)
    for folder in (clips, out if written == "audacity" else None):
        if folder is not None:
            check_is_new(folder)
    return written


def write_found(
    collection: Collection, hits: Hits, out: Path | None, written: HitFormat | None, clips: Path | None
) -> int:
    """Write or print hits, and cut their clips; return the exit status: 1 without hits, or without any clip."""
    from axlstm.collection.search.output import write_clips, write_hits
    from axlstm.errors import name_some

    if out is not None and written is not None:
        write_hits(collection, hits, out, written)
        print(f"{out}: {len(hits)} hit{'' if len(hits) == 1 else 's'}")
    else:
        _print_table(hits)
    missing = write_clips(collection, hits.hits, clips) if clips is not None else []
    for note in hits.notes:
        print(f"  {note}")
    if clips is not None:
        told = f"; missing: {name_some(missing, '; ', 3)}" if missing else ""
        print(f"{clips}: {len(hits) - len(missing)} clips{told}")
    return 0 if len(hits) > len(missing) else 1


def _print_table(hits: Hits) -> None:
    """Print the hits, the best one first."""
    from rich.console import Console
    from rich.table import Table

    how = "compared" if hits.exact else "looked up"
    table = Table(
        title=f"{len(hits)} hits of {hits.compared} windows {how}, {hits.encoder}", title_justify="left", box=None
    )
    has_times, has_places = any(hit.recorded_at for hit in hits), any(hit.within for hit in hits)
    for name in ("", "score", "start s", "end s"):
        table.add_column(name, justify="right", no_wrap=True)
    if has_places:
        table.add_column("within", justify="right", no_wrap=True)
    table.add_column("recording", overflow="fold")
    if has_times:
        table.add_column("time", no_wrap=True)
    for rank, hit in enumerate(hits, start=1):
        cells = [str(rank), f"{hit.score:.3f}", f"{hit.start_s:.2f}", f"{hit.end_s:.2f}"]
        if has_places:
            cells.append("" if hit.within is None else f"{hit.within.start_s:.2f}-{hit.within.end_s:.2f}")
        table.add_row(*cells, hit.path, *([hit.recorded_at or ""] if has_times else []))
    Console(markup=False, highlight=False, soft_wrap=True).print(table)

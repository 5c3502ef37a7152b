"""Estimate how dense calls are: ``axlstm density sample|estimate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from axlstm.cli.repeated import Repeated

if TYPE_CHECKING:
    from axlstm.collection.density.densities import DensityTable

_SHOWN = 20


def sample(
    classifier: Positional[Path],
    collection: Positional[Path],
    out: Annotated[Path, arg(aliases=["-o"])],
    label: str | None = None,
    bins: int = 8,
    per_bin: int = 25,
    seed: int = 0,
    clips: bool = False,
) -> int:
    """Draw windows of a collection to be judged, from bins of their scores.

    The folder gets windows.csv, in a drawn order and without scores. Put yes, no or unsure in place of its question
    marks, and import it with axlstm label import; or sort the clips into folders wren and -wren, and import these.
    Then axlstm density estimate says how dense the calls are.
    Example: axlstm density sample wren.model birds.collection -o wren.density --clips

    Args:
        classifier: folder that axlstm train wrote.
        collection: folder of the collection.
        out: a new folder.
        label: of the classifier, if it has several.
        bins: at most so many; from low scores up they hold half of all windows, a quarter, an eighth, and so on.
        per_bin: windows to draw from each.
        seed: of what is drawn.
        clips: cut the windows into WAV files too.
    """
    from axlstm.collection.classifiers.classifier import load_classifier
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.density.sample import CLIPS, WINDOWS, draw_sample
    from axlstm.errors import name_some

    with open_collection(collection) as opened:
        options = {"bins": bins, "per_bin": per_bin, "seed": seed}
        done = draw_sample(opened, load_classifier(classifier), out, label, clips=clips, **options)
    judged = f", of which {done.judged} are judged already" if done.judged else ""
    print(f"{out}: {done.drawn} windows from {done.bins} bins{judged}")
    if done.missing:
        print(f"  clips that are missing: {name_some(done.missing, '; ', 3)}")
    told = (
        f"put yes, no or unsure for each ? in {out / WINDOWS}, then: axlstm label import {collection} {out / WINDOWS}"
    )
    print(f"  {told}" + (f"; or sort {out / CLIPS} into folders, and import that" if clips else ""))
    return 0


def estimate(
    classifier: Positional[Path],
    collection: Positional[Path],
    sample: Positional[Path],
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    by: Repeated = (),
) -> int:
    """Estimate the density of calls, the share of windows with one, with a 95 % interval.

    It is that of all windows, and of groups of them. The share of calls among windows of like scores is taken to be
    the same in all groups; the output says where the judged windows speak against it.
    Example: axlstm density estimate wren.model birds.collection wren.density -o density.csv --by site --by day

    Args:
        classifier: that the windows were drawn with.
        collection: folder of the collection.
        sample: folder that axlstm density sample wrote, whose windows have been judged.
        out: a CSV file.
        by: a column of the groups: day or hour of the recorder's clock, path, device, or one of the metadata, such as
            site; given again, a further one.
    """
    from axlstm.collection.classifiers.classifier import load_classifier
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.density.densities import estimate_densities, write_densities
    from axlstm.collection.new_folders import check_is_no_source

    if out is not None:
        check_is_no_source(out)
    with open_collection(collection) as opened:
        table = estimate_densities(opened, load_classifier(classifier), sample, by)
    if out is not None:
        write_densities(out, table)
    _print_table(table)
    return 0


def _print_table(table: DensityTable) -> None:
    """Print the densities, and what is to be known of them."""
    shares = zip(table.shares.share, table.shares.low, table.shares.high, strict=True)
    for number, (share, low, high) in enumerate(shares, start=1):
        print(f"bin {number}: {share:.3f} of the judged windows have a call ({low:.3f} to {high:.3f})")
    for values, one in table.rows[:_SHOWN]:
        name = ", ".join(f"{column} {value or 'unknown'}" for column, value in zip(table.by, values, strict=True))
        print(f"{name or 'all'}: {one.density:.4f} ({one.low:.4f} to {one.high:.4f}) of {one.windows} windows")
    if len(table.rows) > _SHOWN:
        print(f"and {len(table.rows) - _SHOWN} more groups")
    for values, one in table.rows:
        if one.is_surprising:
            counts = f"{one.heard} calls in {one.judged} judged windows, and {one.expected:.1f} are expected"
            print(f"  {', '.join(values)}: {counts} by their scores: its density may be another one")
    if table.open:
        print(f"  {table.open} of the drawn windows are not judged, or unsure, and left out")
    if table.newer[0]:
        recordings, windows = table.newer
        told = "none was drawn, and they count by their scores; draw anew if they may be different"
        print(f"  {windows} windows of {recordings} recordings were indexed after the draw: {told}")
    if table.gone:
        print(f"  {table.gone} of the drawn windows are not in the collection any more, and left out")

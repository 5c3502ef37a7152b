"""Suggest which windows of a collection to label next: ``axlstm suggest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.repeated import Repeated
from axlstm.cli.search import OnePer, check_targets, write_found
from axlstm.options import HitFormat, SuggestBy


def suggest(
    collection: Positional[Path],
    label: str,
    classifier: Path | None = None,
    count: Annotated[int, arg(aliases=["-k"])] = 20,
    by: SuggestBy = "margin",
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    format: HitFormat | None = None,
    clips: Path | None = None,
    encoder: str | None = None,
    where: Repeated = (),
    path: Repeated = (),
    one_per: OnePer | None = None,
    apart_s: float | None = None,
    seed: int = 0,
) -> int:
    """Suggest which windows to label next, so that few labels bring much.

    Windows that overlap what the label says something about, or a suggestion before them, are left out. The score is
    the probability. The exit status is 1 if there are none, or no clip of any.
    Example: axlstm suggest birds.collection --label wren -k 20 -o next.csv --clips next

    Args:
        collection: folder of the collection.
        label: that is to be given.
        classifier: folder of one of this label. Without it, one is trained on the labels that are there.
        count: number of windows.
        by: margin takes the least certain windows; quantile draws from bins of probability, half of all windows, a
            quarter, an eighth, and so on up; diversity takes uncertain ones that differ; random draws from all.
        out: a file for the windows, as of axlstm search.
        format: of the file.
        clips: a new folder, which the windows are cut into as WAV files.
        encoder: its name, if the collection has several and no classifier is given.
        where: a condition on the recordings, such as site=A or latitude>50; given again, a further one.
        path: a pattern of paths in the collection, such as north/*; given again, another one.
        one_per: one window for each recording.
        apart_s: least seconds between the middles of two windows of a recording; 0 allows all windows.
        seed: of what is drawn.
    """
    from axlstm.collection.collection import open as open_collection

    written = check_targets(out, format, clips)
    with open_collection(collection) as opened:
        hits = opened.suggest(
            label,
            classifier,
            by=by,
            count=count,
            encoder=encoder,
            one_per_recording=one_per == "recording",
            apart_s=apart_s,
            seed=seed,
            where=where,
            path=path,
        )
        return write_found(opened, hits, out, written, clips)

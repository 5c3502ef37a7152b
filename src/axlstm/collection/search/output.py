"""Write hits: CSV, JSON, Raven's selection tables, Audacity's label tracks, and clips as WAV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import get_args

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.exporting import find_facts, write_tracks
from axlstm.collection.labels.folders import list_clips
from axlstm.collection.labels.marks import Mark
from axlstm.collection.labels.raven import write_raven
from axlstm.collection.new_folders import check_is_no_source, new_folder
from axlstm.collection.recordings import current_place
from axlstm.collection.search.hits import Hit, Hits
from axlstm.collection.stretches import Stretch, write_stretch
from axlstm.errors import AudioError, ConfigError
from axlstm.files import write_atomically
from axlstm.options import HitFormat, check_choice

_COLUMNS = ("rank", "score", "path", "start_s", "end_s", "recorded_at")
_WITHIN = ("within_start_s", "within_end_s", "within_score")


def choose_format(out: Path, format: HitFormat | None) -> HitFormat:
    """Choose the format of a file of hits by its name, if none is asked for.

    Raises:
        ConfigError: the name does not tell, or is that of a sound or of a collection's own file.
    """
    check_is_no_source(out)
    if format is not None:
        return format
    if out.suffix.lower() in (".csv", ".json"):
        return "csv" if out.suffix.lower() == ".csv" else "json"
    expected = ", ".join(get_args(HitFormat))
    raise ConfigError(f"{out}: its name tells no format; end it with .csv or .json, or say --format {expected}")


def write_hits(collection: CollectionFolder, hits: Hits, out: Path, format: HitFormat) -> None:
    """Write hits.

    Args:
        out: a file; for ``audacity`` a folder, with a label track for each recording.

    Raises:
        ConfigError: an unknown format, or a folder that is there and is not empty.
        WriteError: the disk is full or fails.
    """
    check_choice("format", format, HitFormat)
    if format == "audacity":
        marks = [_mark(hit, rank) for rank, hit in enumerate(hits, start=1)]
        write_tracks(out, marks, find_facts(collection))
        return
    text = format_hits(hits, format) if format != "raven" else _raven(collection, hits)
    write_atomically(out, text.encode())


def format_hits(hits: Hits, format: HitFormat) -> str:
    """Write hits as the text of a file, ``csv`` or ``json``."""
    return {"csv": _csv, "json": _json}[format](hits)


def _mark(hit: Hit, rank: int) -> Mark:
    return Mark(rank, hit.path, hit.start_s, hit.end_s, f"{rank}: {hit.score:.3f}")


def _row(hit: Hit, rank: int) -> list[str]:
    return [str(rank), f"{hit.score:.6f}", hit.path, f"{hit.start_s:.3f}", f"{hit.end_s:.3f}", hit.recorded_at or ""]


def _csv(hits: Hits) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    has_places = any(hit.within is not None for hit in hits)
    writer.writerow([*_COLUMNS, *(_WITHIN if has_places else ())])
    for rank, hit in enumerate(hits, start=1):
        place = hit.within
        found = ["", "", ""]
        if place is not None:
            found = [f"{place.start_s:.3f}", f"{place.end_s:.3f}", f"{place.score:.6f}"]
        writer.writerow([*_row(hit, rank), *(found if has_places else ())])
    return out.getvalue()


def _json(hits: Hits) -> str:
    content = {
        "encoder": hits.encoder,
        "query": hits.query,
        "compared": hits.compared,
        "exact": hits.exact,
        "notes": hits.notes,
        "hits": [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(hits, start=1)],
    }
    return json.dumps(content, indent=2) + "\n"


def _raven(collection: CollectionFolder, hits: Hits) -> str:
    ranks = range(1, len(hits) + 1)
    marks = [_mark(hit, rank) for rank, hit in zip(ranks, hits, strict=True)]
    more = {"Rank": [str(rank) for rank in ranks], "Score": [f"{hit.score:.6f}" for hit in hits]}
    return write_raven(marks, find_facts(collection), more)


def write_clips(collection: CollectionFolder, hits: Sequence[Hit], folder: Path) -> list[str]:
    """Cut the hits from their recordings, in their own rates and with all channels, into a new folder.

    ``clips.csv`` lists them there: clips that are sorted into folders of labels can be imported.

    Returns:
        why clips are missing, for those of recordings that cannot be read or have changed.

    Raises:
        ConfigError: the folder is there and is not empty.
        WriteError: the disk is full or fails.
    """
    missing, clips = [], []
    digits = len(str(len(hits)))
    with new_folder(folder) as made:
        for rank, hit in enumerate(hits, start=1):
            stem = re.sub(r"[^\w.-]", "_", PurePosixPath(hit.path).stem)[:80]
            name = f"{rank:0{digits}d}_{stem}_{hit.start_s:.2f}-{hit.end_s:.2f}.wav"
            try:
                write_stretch(made / name, current_place(collection, hit.recording), Stretch(hit.start_s, hit.end_s))
            except (AudioError, OSError) as error:
                missing.append(f"hit {rank}: {error}")
                continue
            clips.append((name, _mark(hit, rank)))
        list_clips(made, clips)
    return missing

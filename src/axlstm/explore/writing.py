"""Write files for the person at the page: hits, labels, detections and clips, to be downloaded or kept."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from axlstm.collection.classifiers.kept import find_kept
from axlstm.collection.collection import Collection
from axlstm.collection.labels.exporting import export_labels
from axlstm.collection.search.filters import window_time
from axlstm.collection.search.hits import Hit, Hits
from axlstm.collection.search.output import write_clips, write_hits
from axlstm.errors import AudioError, ConfigError, name_some
from axlstm.explore.desk import Desk, check_rows
from axlstm.explore.jobs import Job, Reporter
from axlstm.explore.places import NoSuchError
from axlstm.options import DetectionFormat, HitFormat, LabelFormat, check_choice

EXPORTS = "exports"
"""The folder in that of a collection which the page writes into."""

_SUFFIXES = {
    "csv": ".csv",
    "json": ".json",
    "parquet": ".parquet",
    "raven": ".txt",
    "kaleidoscope": ".csv",
    "hear": ".csv",
}


class Written:
    """A file that waits in a folder of its own to be sent; `discard` removes both."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="axlstm-export-"))
        self.path = self.folder / name
        self.notes: list[str] = []

    def discard(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def export(desk: Desk, asked: Mapping[str, Any], known: str | None) -> Written:
    """Write what is asked for into a file; formats of several files become one zip.

    Args:
        asked: ``what``, ``format``, and ``rows`` with their ``scores`` for hits and clips, ``labels`` for labels.

    Raises:
        AxlstmError: it cannot be written so.
    """
    what, format = asked["what"], asked["format"]
    written = Written(_name_of(what, format))
    try:
        with desk.collection() as collection:
            if what == "labels":
                _export_labels(collection, written, check_choice("format", format, LabelFormat), asked["labels"])
            else:
                hits = _hits_of(desk, collection, asked, known)
                if what == "hits":
                    _export_hits(collection, written, check_choice("format", format, HitFormat), hits)
                else:
                    _export_clips(collection, written, hits)
    except BaseException:
        written.discard()
        raise
    return written


def _name_of(what: str, format: str | None) -> str:
    return f"{what}{_SUFFIXES.get(format or '', '.zip')}"


def _export_labels(collection: Collection, written: Written, format: LabelFormat, labels: Sequence[str]) -> None:
    if written.path.suffix != ".zip":
        export_labels(collection, written.path, format, labels)
        return
    folder = written.folder / "labels"
    summary = export_labels(collection, folder, format, labels)
    written.notes += summary.missing
    _pack(folder, written.path)


def _export_hits(collection: Collection, written: Written, format: HitFormat, hits: Hits) -> None:
    if written.path.suffix != ".zip":
        write_hits(collection, hits, written.path, format)
        return
    write_hits(collection, hits, written.folder / "hits", format)
    _pack(written.folder / "hits", written.path)


def _export_clips(collection: Collection, written: Written, hits: Hits) -> None:
    missing = write_clips(collection, hits.hits, written.folder / "clips")
    written.notes += missing
    if len(missing) == len(hits):
        raise AudioError(f"no clip could be cut: {name_some(missing, '; ', 3)}")
    _pack(written.folder / "clips", written.path)


def _pack(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder.parent))


def _hits_of(desk: Desk, collection: Collection, asked: Mapping[str, Any], known: str | None) -> Hits:
    """Return rows of the page as hits, in its order."""
    table, rows, scores = desk.table(collection, known), asked["rows"], asked["scores"]
    check_rows(rows, table)
    if not rows:
        raise ConfigError("no windows to export: search for some, or choose some")
    if scores and len(scores) != len(rows):
        raise ConfigError(f"{len(scores)} scores for {len(rows)} rows: expected as many, or none")
    hits = []
    for row, score in zip(rows, scores or [0.0] * len(rows), strict=True):
        recording, (start_s, end_s) = int(table.recordings[table.span_of_row(row)]), table.bounds(row)
        facts = collection.tables.execute(
            "SELECT path, recorded_at FROM recordings WHERE id = ?", (recording,)
        ).fetchone()
        time = window_time(facts["recorded_at"], start_s)
        hits.append(Hit(facts["path"], start_s, end_s, score, recording, time))
    return Hits(tuple(hits), table.entry.name, {}, len(hits), True, collection.folder.absolute())


def start_detecting(desk: Desk, asked: Mapping[str, Any]) -> Job:
    """Begin to run a classifier over the whole collection; what it hears is written into the folder of exports.

    Raises:
        ConfigError: no such classifier, or a format that does not exist.
        InUseError: another job runs.
    """
    from axlstm.collection.detections.run import detect

    name = asked["classifier"]
    chosen: DetectionFormat = check_choice("format", asked["format"], DetectionFormat)
    with desk.collection() as collection:
        folder = find_kept(collection, name)

    def run(report: Reporter) -> dict[str, Any]:
        out = _new_export(desk.folder, name, chosen)
        options = {option: asked[option] for option in ("threshold", "low", "gap_s")}
        summary = detect(
            folder, [desk.folder], out, format=chosen, progress=lambda done, of: report(done / max(of, 1)), **options
        )
        found = [
            {"label": one.label, "threshold": one.threshold, "detections": one.detections, "recordings": one.recordings}
            for one in summary.findings
        ]
        path = out
        if out.is_dir():
            path = out.with_name(f"{out.name}.zip")
            _pack(out, path)
        told = {"file": path.name, "path": str(path), "findings": found, "windows": summary.windows}
        return {**told, "recordings": summary.scored, "skipped": [list(one) for one in summary.skipped[:20]]}

    return desk.jobs.start("detect", f"Running {name} on everything", run)


def _new_export(folder: Path, name: str, format: str) -> Path:
    """Return where a new export may lie."""
    made = folder / EXPORTS
    if made.is_symlink():
        raise ConfigError(f"{made}: a link, which is not followed; expected a folder: remove the link")
    made.mkdir(exist_ok=True)
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    suffix, number = _SUFFIXES.get(format, ""), 1
    while (place := made / f"{stem}{'' if number == 1 else f'-{number}'}{suffix}").exists():
        number += 1
    return place


def list_exports(folder: Path) -> dict[str, Path]:
    """List the files in the folder of exports, the latest first."""
    if (folder / EXPORTS).is_symlink():  # which may lead anywhere, too
        return {}
    try:
        with os.scandir(folder / EXPORTS) as entries:
            files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]  # a link may lead anywhere
            found = [(entry.stat().st_mtime_ns, entry.name, Path(entry.path)) for entry in files]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: path for _, name, path in sorted(found, reverse=True) if not name.startswith(".")}


def find_export(folder: Path, name: str) -> Path:
    """Return where an export lies. No path is made of the name.

    Raises:
        NoSuchError: there is none of that name.
    """
    path = list_exports(folder).get(name)
    if path is None:
        raise NoSuchError(f"no export {name[:80]!r}")
    return path

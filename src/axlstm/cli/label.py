"""Import, export, list, give and undo labels of a collection: ``axlstm label STEP``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.repeated import Repeated
from axlstm.options import LabelFormat, Verdict

_SHOWN = 3


def import_(
    collection: Positional[Path],
    files: Positional[tuple[Path, ...]],
    format: LabelFormat | None = None,
    column: str | None = None,
    label: str | None = None,
    recordings: Repeated = (),
    known_only: bool = False,
    author: str = "",
) -> int:
    """Import labels: Raven's tables, Audacity's label tracks, CSV, Kaleidoscope, folders as classes, HEAR tasks.

    If anything about a label is wrong, nothing is imported, and the lines are told. Labels that are there already are
    not entered again. axlstm label undo takes the import back.

    Args:
        collection: folder of the collection.
        files: files of labels, folders of label tracks, with a folder for each label, or of HEAR tasks.
        format: of the files, if it is not to be told from each of them.
        column: that holds the labels; of Raven's tables the first of Label, Annotation, Species, Common Name, ...
        label: give all rows this label, in place of a column.
        recordings: one that files are of which name none; given again, times run through them in this order.
        known_only: pass over labels of recordings that the collection does not have, in place of importing nothing.
        author: who gave the labels, where the files do not say; the user without it.
    """
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.labels.importing import ImportOptions, import_labels
    from axlstm.errors import name_some

    options = ImportOptions(format, column, label, recordings, known_only, author)
    with open_collection(collection) as opened:
        summary = import_labels(opened, files, options)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in summary.verdicts.items())
    told = f" ({verdicts})" if verdicts else ""
    parts = [f"{summary.entered} labels{told} of {summary.recordings} recordings imported"]
    parts += [f"{summary.there} there already"] if summary.there else []
    parts += [f"{count} {reason} passed over" for reason, count in summary.passed.items()]
    print(f"{collection}: {', '.join(parts)}")
    if summary.labels:
        print(f"  {name_some(summary.labels, most=10)}")
    if summary.scored:
        print(
            f"  {summary.scored} of them have a score and no verdict beside it, and count as yes; if nobody has "
            f"listened to them, axlstm label undo {collection} takes them back"
        )
    for name, other in summary.alike.items():
        print(f"  {name} is a new label; {other} was there before")
    if summary.by_name_alone:
        pairs = (f"{name} is {path}" for name, path in summary.by_name_alone.items())
        print(f"  found by their names alone, in other folders: {name_some(pairs, '; ', _SHOWN)}")
    return 0


def export(
    collection: Positional[Path],
    out: Annotated[Path, arg(aliases=["-o"])],
    format: LabelFormat = "csv",
    label: Repeated = (),
) -> int:
    """Export labels, for other programs or to be imported again.

    Args:
        collection: folder of the collection.
        out: a file; for audacity a new folder with a label track for each recording, for folders a new folder with
            clips in a folder for each label, for hear the table that axlstm hear make takes.
        format: of the file.
        label: name of a label; given again, a further one. All without it.
    """
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.labels.exporting import export_labels
    from axlstm.errors import name_some

    with open_collection(collection) as opened:
        summary = export_labels(opened, out, format, label)
    files = f" in {summary.files} files" if summary.files > 1 else ""
    left_out = f", {summary.left_out} left out ({summary.why})" if summary.left_out else ""
    missing = f"; missing: {name_some(summary.missing, '; ', _SHOWN)}" if summary.missing else ""
    print(f"{out}: {summary.written} labels{files}{left_out}{missing}")
    return 0 if summary.written else 1


def list_(collection: Positional[Path], label: str | None = None) -> int:
    """List the labels of a collection and how many there are, or what is said about one of them, with its numbers.

    Args:
        collection: folder of the collection.
        label: list all that is said about it.
    """
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.labels.table import count_labels, list_statements

    with open_collection(collection) as opened:
        if label is not None:
            for row in list_statements(opened, label):
                print(row)
            return 0
        counts = count_labels(opened)
    if not counts:
        print(f"{collection}: no labels; axlstm label import or add gives some")
        return 0
    width = max(len(count.label) for count in counts)
    for count in counts:
        verdicts = f"{count.yes:6d} yes {count.no:6d} no {count.unsure:6d} unsure"
        print(f"{count.label:{width}} {verdicts}  {count.recordings} recordings")
    return 0


def add(
    collection: Positional[Path],
    recording: Positional[str],
    label: Positional[str],
    verdict: Verdict = "yes",
    author: str = "",
) -> int:
    """Say whether a label is heard in a recording or a stretch of it. A later word on the same stretch replaces this.

    Args:
        collection: folder of the collection.
        recording: its path in the collection or on the disk, with @1.5-3.0 behind it for a stretch in seconds.
        label: its name.
        verdict: yes, no or unsure.
        author: who says so; the user without it.
    """
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.labels.alike import find_alike
    from axlstm.collection.stretches import split_stretch

    name, stretch = split_stretch(recording)
    with open_collection(collection) as opened:
        label = label.strip()
        alike = find_alike(opened, [label])
        number = opened.label(name, label, stretch.begin_s, stretch.end_s, verdict=verdict, author=author)
    print(f"{collection}: label {number}: {recording} {label}: {verdict}")
    if label in alike:
        print(f"  {label} is a new label; {alike[label]} was there before")
    return 0


def undo(collection: Positional[Path], numbers: Positional[tuple[int, ...]] = ()) -> int:
    """Take labels back: those of the latest step, such as an import, or those with the numbers that are given.

    Args:
        collection: folder of the collection.
        numbers: of labels, as axlstm label list --label shows them.
    """
    from axlstm.collection.collection import open as open_collection
    from axlstm.collection.labels.table import undo as take_back

    with open_collection(collection) as opened:
        told = take_back(opened, numbers or None)
    print(f"{collection}: {len(told)} labels taken back")
    for line in told[:_SHOWN]:
        print(f"  {line}")
    if len(told) > _SHOWN:
        print(f"  and {len(told) - _SHOWN} more")
    return 0

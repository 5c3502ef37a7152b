"""Say what to search for, and turn it into directions in the space of an encoder's vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.audio.open import open_sound
from axlstm.audio.read import mono_blocks
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.alike import hint_recording
from axlstm.collection.labels.judgements import in_force, windows_of_stretch
from axlstm.collection.labels.table import find_recording, find_statements
from axlstm.collection.recordings import current_place
from axlstm.collection.search.filters import judge_spans
from axlstm.collection.search.norms import least_norm
from axlstm.collection.search.scan import Directions
from axlstm.collection.search.table import Place, WindowTable
from axlstm.collection.stretches import (
    Stretch,
    check_inside,
    constant_of,
    hint_stretch,
    read_stretch,
    refuse_silence,
    split_stretch,
)
from axlstm.errors import AudioError, ConfigError, DataError
from axlstm.files import is_file
from axlstm.options import Combine, Verdict, check_choice

UNLIKE_WEIGHT = 0.25
"""The weight of examples of what is not wanted; docs/collections.md has the trials."""

MOST_EXAMPLES = 256
"""Of each kind that windows are compared with one by one."""


@dataclass(frozen=True)
class Query:
    """Examples of what is searched for.

    Each example is a sound file, or a recording of the collection by its path there or on the disk, with ``@1.5-3.0``
    behind it for a stretch in seconds.

    Args:
        like, unlike: examples of what is wanted, and of what is not.
        label: its windows that are a yes count as examples of what is wanted, those that are a no as the others.
        combine: "mean" compares with the mean of the examples, "max" with each of them, and the best one counts.

    Raises:
        ConfigError: nothing that is wanted, or an unknown way to combine.
    """

    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    label: str | None = None
    combine: Combine = "mean"

    def __post_init__(self) -> None:
        check_choice("combine", self.combine, Combine)
        if not self.like and self.label is None:
            raise ConfigError("nothing to search for: give a sound, a recording of the collection, or a label")

    def describe(self) -> dict[str, Any]:
        """Return the query for the tables and for files of hits."""
        values = {"like": list(self.like), "unlike": list(self.unlike), "label": self.label}
        return {key: value for key, value in values.items() if value} | {"combine": self.combine}


Sound = tuple[Path, Stretch]
"""A file, and a stretch of it."""


@dataclass
class Examples:
    """Examples as standardised vectors of length 1, ``(n, D)`` for each sound, and where they come from.

    ``places`` are those in the collection; ``sounds`` are those of what is wanted.
    """

    like: list[NDArray[np.float64]] = field(default_factory=list)
    unlike: list[NDArray[np.float64]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    sounds: list[Sound] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


EmbedSound = Callable[[Path, Stretch], NDArray[np.float32]]
"""Embed the windows of a stretch of a file: ``(n, D)``."""


def find_examples(collection: CollectionFolder, table: WindowTable, query: Query, embed: EmbedSound) -> Examples:
    """Find the vectors of all examples of a query.

    Args:
        embed: called for sounds that are not in the collection.

    Raises:
        AudioError: a sound that cannot be read, is silent or too short, or a stretch beyond its end.
        DataError: a recording without windows of this encoder, or a label that is not there or has no yes.
    """
    examples = Examples()
    if query.label is not None:
        _add_label(collection, table, query.label, examples)
    for texts, into in ((query.like, examples.like), (query.unlike, examples.unlike)):
        for text in texts:
            name, stretch = split_stretch(text)
            file = Path(name)
            if (number := find_recording(collection, name)) is not None:
                rows, place = _find_place(collection, table, name, number, stretch)
                refuse_silence(text, _constant_of(collection, number, stretch))
                file = path_of(collection, number)
                examples.places.append(place)
                into.append(_directions(table, table.take_vectors(rows), text))
            elif is_file(file):
                into.append(_directions(table, embed(file, stretch), text))
            else:
                hint = hint_stretch(name) or hint_recording(collection, name)
                raise DataError(f"{name}: neither a file nor a recording of {collection.folder}{hint}")
            if into is examples.like:
                examples.sounds.append((file, stretch))
    return examples


def make_directions(examples: Examples, combine: Combine) -> Directions:
    """Make what windows are compared with; ``notes`` of the examples say what was left out.

    With "mean", a sound counts once, whatever its length: the direction is the mean of those that are wanted, less
    `UNLIKE_WEIGHT` times the mean of those that are not (Rocchio, "Relevance feedback in information retrieval", 1971).

    Raises:
        DataError: the mean has no direction, since the examples cancel out.
    """
    nothing = np.empty((0, examples.like[0].shape[1]))
    if combine == "max":
        like = _thin_out(examples.like, examples.notes)
        return Directions(like, _thin_out([nothing, *examples.unlike], examples.notes), UNLIKE_WEIGHT)
    mean = _mean(examples.like)
    if examples.unlike:
        mean = mean - UNLIKE_WEIGHT * _mean(examples.unlike)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise DataError("the examples of the query cancel out: what is wanted and what is not are the same")
    return Directions(mean[None] / length, nothing, UNLIKE_WEIGHT)


def _mean(sounds: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.mean([sound.mean(axis=0) for sound in sounds], axis=0)


def _thin_out(sounds: Sequence[NDArray[np.float64]], notes: list[str]) -> NDArray[np.float64]:
    """Join examples, and keep at most `MOST_EXAMPLES` of them, evenly spread."""
    joined = np.concatenate(sounds)
    if len(joined) > MOST_EXAMPLES:
        notes.append(f"compared with {MOST_EXAMPLES} of {len(joined)} examples, evenly spread")
        joined = joined[np.linspace(0, len(joined) - 1, MOST_EXAMPLES).round().astype(int)]
    return joined


def _directions(table: WindowTable, vectors: NDArray[np.floating], name: str) -> NDArray[np.float64]:
    """Standardise the vectors of a sound, and scale them to length 1.

    Raises:
        DataError: none of them has a direction, or one is damaged.
    """
    standard = table.statistics.standardise(vectors)
    norms = np.linalg.norm(standard, axis=1)
    if not np.isfinite(norms).all():
        raise DataError(
            f"{name}: an embedding with values that are no numbers; axlstm collection verify looks for damage"
        )
    has_direction = norms >= least_norm(table.entry.size)
    if not has_direction.any():
        raise DataError(
            f"{name}: its embedding is the mean of all windows, so that it is like all of them alike; index recordings "
            "that differ from it"
        )
    return standard[has_direction] / norms[has_direction, None]


def _find_place(
    collection: CollectionFolder, table: WindowTable, name: str, number: int, stretch: Stretch
) -> tuple[NDArray[np.int64], Place]:
    """Find the rows of a stretch of a recording: those of the windows that a label on it would count for."""
    spans = table.spans_of(number)
    if not len(spans):
        raise DataError(f"{name}: no windows of {table.entry.name} in {collection.folder}; index it")
    span = int(spans[0])
    windows, first = table.span_rows(span), int(table.starts[span])
    if stretch.begin_s is None or stretch.end_s is None:
        return first + np.arange(len(windows)), (span, (0.0, float(windows.end_s[-1])))
    check_inside(name, stretch, float(windows.end_s[-1]))
    inside = windows_of_stretch(windows.start_s, windows.end_s, stretch.begin_s, stretch.end_s)
    return first + inside, (span, (stretch.begin_s, stretch.end_s))


def _constant_of(collection: CollectionFolder, recording: int, stretch: Stretch) -> float | None:
    """Return the value that all samples of a stretch have; None too if the recording cannot be read as it was."""
    try:
        path = current_place(collection, recording)
        if not stretch.is_whole:
            return constant_of([read_stretch(path, stretch)[0]])
        with open_sound(path) as (file, name):
            return constant_of(mono_blocks(file, name))
    except (AudioError, OSError):
        return None


def path_of(collection: CollectionFolder, recording: int) -> Path:
    """Return where a recording lies."""
    row = collection.tables.execute("SELECT path FROM recordings WHERE id = ?", (recording,)).fetchone()
    return collection.place_of(row["path"])


def _add_label(collection: CollectionFolder, table: WindowTable, label: str, examples: Examples) -> None:
    """Add each window that a label says yes or no about as an example of its own."""
    rows: dict[Verdict, list[int]] = {"yes": [], "no": []}
    statements = find_statements(collection, label)
    for span, judged in judge_spans(table, statements):
        first = int(table.starts[span])
        for verdict, chosen in rows.items():
            chosen += (first + np.flatnonzero(judged[verdict])).tolist()
        recording = int(table.recordings[span])
        for begin_s, stop_s, verdict in in_force(statements[recording]):
            if verdict != "unsure":
                examples.places.append((span, (begin_s, stop_s)))
            if verdict == "yes":
                examples.sounds.append((path_of(collection, recording), Stretch(begin_s, stop_s)))
    if not rows["yes"]:
        raise DataError(
            f"{collection.folder}: label {label!r} has no window of {table.entry.name} that is a yes; say yes to some"
        )
    for into, own in ((examples.like, rows["yes"]), (examples.unlike, rows["no"])):
        if own:
            into += list(_directions(table, table.take_vectors(np.array(own)), f"label {label!r}")[:, None])


def as_examples(values: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Turn one example or several into texts."""
    if isinstance(values, (str, os.PathLike)):
        return (os.fspath(values),)
    return tuple(os.fspath(value) for value in values)

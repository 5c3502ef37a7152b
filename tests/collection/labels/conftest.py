"""A collection of recordings without windows, which labels do not need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from axlstm.collection.collection import Collection
from tests.collection.vectors import add_recording, make_collection


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    """``north/owl.wav`` of 60 s, ``south/owl.wav`` of 90.5 s, ``wren.flac`` of 10 s, at 16 kHz."""
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds") as made:
        for path, duration_s in (("north/owl.wav", 60.0), ("south/owl.wav", 90.5), ("wren.flac", 10.0)):
            add_recording(made, path, duration_s)
        yield made


def said(collection: Collection) -> list[tuple[object, ...]]:
    """All labels that are not undone."""
    rows = collection.tables.execute(
        "SELECT path, start_s, end_s, label, verdict, low_hz, high_hz FROM labels "
        "JOIN recordings ON recordings.id = recording WHERE undone_at IS NULL ORDER BY labels.id"
    )
    return [tuple(round(value, 4) if isinstance(value, float) else value for value in row) for row in rows]

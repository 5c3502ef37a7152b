"""Files of scores come back as they were, and damaged or hostile ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axlstm.collection.detections import scores
from axlstm.collection.detections.scores import (
    Piece,
    ScoreBlock,
    ScoredRecording,
    ScoreFile,
    ScoreSettings,
    write_scores,
)
from axlstm.errors import DamageError
from axlstm.store.origin import Origin
from axlstm.store.parquet import seal

SETTINGS = ScoreSettings("abc", ("wren", "path"), 2.0, 1.0)


def make_pieces(windows: list[int]) -> list[Piece]:
    """Recordings of so many windows each; those of the first come in two pieces."""
    rng, pieces = np.random.default_rng(0), []
    for number, count in enumerate(windows):
        name = f"{number}.wav"
        recording = ScoredRecording(name, count + 1.0, 16_000, None, Origin(1, 2, name, "q", f"d{number}"))
        start_s = np.arange(float(count))
        block = ScoreBlock(start_s, start_s + 2, rng.random((count, 2), np.float32))
        cuts = [slice(0, 2), slice(2, count)] if number == 0 else [slice(0, count)]
        pieces += [(recording, block.cut(cut)) for cut in cuts]
    return pieces


def read_all(file: ScoreFile, rows: slice) -> ScoreBlock:
    blocks = [file.read_group(group).cut(own) for group, own in file.cut(rows)]
    return ScoreBlock(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


@pytest.mark.parametrize("rows", [1, 4, 1000])
def test_scores_come_back(tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_GROUP_ROWS", rows)
    pieces = make_pieces([5, 1, 3])
    assert write_scores(tmp_path / "s.parquet", SETTINGS, pieces) == 9
    file = ScoreFile(tmp_path / "s.parquet")
    assert file.settings == SETTINGS
    assert [recording for recording, _ in file.recordings] == [recording for recording, _ in pieces[1:]]
    found = [read_all(file, rows) for _, rows in file.recordings]
    np.testing.assert_array_equal(found[0].probabilities[2:], pieces[1][1].probabilities)
    np.testing.assert_array_equal(found[2].start_s, pieces[3][1].start_s)


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, SETTINGS, make_pieces([5, 1]))
    content = path.read_bytes()
    for place in range(0, len(content), 41):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(DamageError, match=r"s\.parquet: damaged"):
            ScoreFile(path)
    path.write_bytes(content[:-100])
    with pytest.raises(DamageError, match=r"s\.parquet: damaged"):
        ScoreFile(path)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("probability_wren", 1.5, "probabilities that are none"),
        ("probability_wren", float("nan"), "probabilities that are none"),
        ("end_s", 0.0, "windows that are none"),
        ("start_s", -1.0, "windows that are none"),
        ("digest", None, "facts that are missing"),
    ],
)
def test_values_that_nobody_wrote_are_refused(tmp_path: Path, column: str, value: Any, told: str) -> None:
    path = tmp_path / "s.parquet"
    write_scores(path, SETTINGS, make_pieces([5]))
    table = pq.read_table(path)
    place = table.schema.names.index(column)
    values = pa.array([value] * len(table), table.schema.field(column).type)
    pq.write_table(table.set_column(place, column, values), path)
    with pytest.raises(DamageError, match="without the checksum"):
        ScoreFile(path)
    seal(path)
    with pytest.raises(DamageError, match=told):
        ScoreFile(path).read_group(0)


def test_settings_and_columns_that_nobody_wrote_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    for metadata in ({}, {b"axlstm.scores": b"{}"}, {b"axlstm.scores": b'{"fingerprint": "a", "labels": [1]}'}):
        pq.write_table(pa.table({"path": ["a"]}, metadata=metadata), path)
        seal(path)
        with pytest.raises(DamageError, match="no file of scores"):
            ScoreFile(path)
    pq.write_table(pa.table({"path": ["a"]}).replace_schema_metadata(SETTINGS.schema.metadata), path)
    seal(path)
    with pytest.raises(DamageError, match="columns of other names"):
        ScoreFile(path)

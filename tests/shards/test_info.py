"""`axlstm info` of a folder of shards."""

from __future__ import annotations

from axlstm.cli import main
from axlstm.data.config import PrepareConfig
from axlstm.data.info import describe_shards
from axlstm.data.prepare import prepare
from tests.shards.made import published_folder, write_published_shard, write_sound


def test_durations_levels_and_spectrum_of_both_splits(tmp_path, capsys):
    for number in range(4):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 1.0 + number, number)
    prepare([tmp_path / "sounds"], tmp_path / "shards", PrepareConfig(held_out=0.25), processes=1)
    train, valid = describe_shards(tmp_path / "shards")
    assert (train.name, train.records, valid.name, valid.records) == ("train", 3, "valid", 1)
    assert sorted([*train.seconds, *valid.seconds]) == [1.0, 2.0, 3.0, 4.0]
    assert train.mean_logmel.shape == (80,)
    assert abs(train.levels_dbfs + 1.94).max() < 0.05  # all peak at 0.8
    assert "3 records of logmel in 1 shards" in train.summary()
    assert main(["info", str(tmp_path / "shards")]) == 0
    assert not list(tmp_path.rglob("*.png"))
    assert main(["info", str(tmp_path / "shards"), "-o", str(tmp_path / "shards.png")]) == 0
    told = capsys.readouterr().out
    assert "train: 3 records of logmel in 1 shards" in told
    assert "valid: 1 records of logmel in 1 shards" in told
    assert (tmp_path / "shards.png").read_bytes().startswith(b"\x89PNG")
    assert main(["info", str(tmp_path / "sounds" / "0.wav"), "-o", str(tmp_path / "no.png")]) == 1
    assert "is no folder of shards; axlstm plot draws a sound" in capsys.readouterr().err


def test_foreign_shards_and_records_that_cannot_be_read(tmp_path):
    published_folder(tmp_path, [3], frames=301)
    write_published_shard(tmp_path / "zbad.tar", {"bad": b"nothing"})
    (train,) = describe_shards(tmp_path)
    assert train.seconds.tolist() == [3.0] * 3
    assert train.levels_dbfs.size == 0
    assert "cannot be read: record 3: not the bytes" in train.summary()

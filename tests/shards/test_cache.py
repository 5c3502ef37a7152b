"""Shards in a bucket are read through a bounded cache, give the batches of those on the disk, and are checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from axlstm.data.cache import open_cache
from axlstm.data.shards import RecordFiles, open_shards
from axlstm.errors import DataError
from axlstm.pretrain.config import ReadingConfig
from axlstm.pretrain.loop import pretrain
from tests.parts.bucket import Bucket, serve_bucket
from tests.pretrain.runs import make_shards, small_config, weights_hash

pytest.importorskip("moto")
pytest.importorskip("s3fs")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of botocore and moto, which change with their versions


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def served() -> Iterator[Bucket]:
    with serve_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(served: Bucket, shards: Path) -> Iterator[Bucket]:
    """The bucket with the shards below ``shards/``."""
    files = served.files()
    for path in [*shards.glob("*.tar"), *shards.glob("*.npy"), shards / "index.json"]:
        files.put_file(str(path), f"sounds/shards/{path.name}")
    served.requests.clear()
    yield served
    served.faults = lambda *_: None


def fetched(bucket: Bucket) -> list[str]:
    """The shards that were asked for, in order."""
    names = [path.rpartition("/")[2] for method, path in bucket.requests if method == "GET"]
    return [name for name in names if name.endswith(".tar")]


def test_records_are_those_of_the_disk_in_as_much_room_as_is_allowed(
    bucket: Bucket, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = open_shards(shards)
    sizes = [path.stat().st_size for path in here.shards]
    assert len(sizes) > 2
    with caplog.at_level(logging.WARNING):
        folder = open_cache(f"{bucket.url}/shards", 2.1 * max(sizes) / 1e9, tmp_path / "cache", 1000)
    assert "shards will be fetched again and again" in caplog.text
    there = open_shards(folder)
    assert there.fingerprint == here.fingerprint
    assert fetched(bucket) == []
    ours, theirs = RecordFiles(there), RecordFiles(here)
    for record in range(len(here)):
        assert ours.data(record) == theirs.data(record)
        assert ours.facts(record) == theirs.facts(record)
        assert sum(path.stat().st_size for path in folder.glob("*.tar")) <= 2.1 * max(sizes)
    assert fetched(bucket) == [path.name for path in here.shards]
    ours.close()
    again = RecordFiles(open_shards(open_cache(f"{bucket.url}/shards", 1.0, tmp_path / "cache")))
    assert again.data(len(here) - 1) == theirs.data(len(here) - 1)
    assert len(fetched(bucket)) == len(sizes)  # the last one is there
    assert again.data(0) == theirs.data(0)
    assert len(fetched(bucket)) == len(sizes) + 1


def test_a_shard_that_is_damaged_on_its_way_is_fetched_again_and_one_that_stays_so_is_refused(
    bucket: Bucket, shards: Path, tmp_path: Path
) -> None:
    opened = open_shards(open_cache(f"{bucket.url}/shards", 1.0, tmp_path / "cache"))
    first = opened.shards[0].name
    kinds = iter(["half", "500", None, "503"])
    bucket.faults = lambda method, path: next(kinds, None) if method == "GET" and path.endswith(first) else None
    assert RecordFiles(opened).data(0) == RecordFiles(open_shards(shards)).data(0)
    bucket.faults = lambda *_: None
    second = opened.shards[1].name
    content = bytearray((shards / second).read_bytes())
    content[700] ^= 1
    bucket.files().pipe_file(f"sounds/shards/{second}", bytes(content))
    with pytest.raises(DataError, match=rf"{second}: its SHA-256 is another one than index.json tells"):
        RecordFiles(opened).data(int(opened.starts[1]))
    assert not (tmp_path / "cache" / second).exists()
    bucket.files().rm_file(f"sounds/shards/{second}")
    with pytest.raises(DataError, match=rf"{second}: this shard is missing"):
        RecordFiles(opened).data(int(opened.starts[1]))


@pytest.mark.parametrize("workers", [0, 2])
def test_training_from_a_bucket_gives_the_same_weights(
    bucket: Bucket, shards: Path, tmp_path: Path, workers: int
) -> None:
    config = replace(small_config(5), reading=ReadingConfig(workers=workers))
    pretrain(config, shards, tmp_path / "disk")
    reading = replace(config.reading, cache_folder=str(tmp_path / "cache"), cache_gb=1e-3)
    bucket.faults = lambda *_: "503" if len(bucket.requests) % 5 == 0 else None
    pretrain(replace(config, reading=reading), f"{bucket.url}/shards", tmp_path / "bucket")
    assert weights_hash(tmp_path / "bucket") == weights_hash(tmp_path / "disk")


def test_a_place_without_shards_is_told(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s3://sounds/none: no index.json there"):
        open_cache(f"{bucket.url}/none", 1.0, tmp_path / "cache")

"""Shards to batches: every record once, the same crops whoever reads them, and nothing that can run code."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.audio.logmel import normalise
from axlstm.data.config import PrepareConfig
from axlstm.data.order import BatchPlan, crop_start, epoch_order, sample_key
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader, WindowMaker, micro_batches
from axlstm.data.records import encode_logmel
from axlstm.data.shards import MissingShardError, RecordFiles, ShardSet, open_shards
from axlstm.errors import DataError
from axlstm.files import read_at
from axlstm.model.config import ModelConfig
from tests.shards.made import logmel, published_folder, write_published_shard, write_sound

SEED = 5
MODEL = ModelConfig()


def plan_of(shards: ShardSet, global_batch: int, shuffle_records: int = 10_000) -> BatchPlan:
    return BatchPlan(tuple(shards.starts.tolist()), global_batch, SEED, shuffle_records)


def read_keys(
    shards: ShardSet, plan: BatchPlan, first_step: int = 0, last_step: int | None = None, **split
) -> list[int]:
    last_step = plan.steps_per_epoch if last_step is None else last_step
    reader = CropReader(shards, MODEL, SEED)
    batches = micro_batches(reader, plan, first_step=first_step, last_step=last_step, **split)
    return [key for batch in batches for key in batch.keys.tolist()]


def record_of_key(shards: ShardSet, epoch: int = 0) -> dict[int, int]:
    return {sample_key(SEED, epoch, record) - 2**63: record for record in range(len(shards))}


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")  # more than cores, on purpose
@pytest.mark.parametrize("counts", [[12], [1, 11], [5, 1, 6], [2] * 6])
@pytest.mark.parametrize(("world_size", "workers", "parts"), [(1, 0, 1), (1, 3, 2), (2, 2, 1), (3, 0, 2), (4, 1, 1)])
def test_every_record_comes_once_an_epoch(tmp_path, counts, world_size, workers, parts):
    shards = open_shards(published_folder(tmp_path, counts))
    plan = plan_of(shards, global_batch=12)
    keys = [
        read_keys(shards, plan, parts=parts, rank=rank, world_size=world_size, workers=workers)
        for rank in range(world_size)
    ]
    assert {len(of_rank) for of_rank in keys} == {12 // world_size}
    records = [record_of_key(shards)[key] for of_rank in keys for key in of_rank]
    assert sorted(records) == list(range(12))


def test_batches_do_not_depend_on_workers_and_start_at_any_step(tmp_path):
    shards = open_shards(published_folder(tmp_path, [9, 4, 7]))
    plan = plan_of(shards, global_batch=6, shuffle_records=8)
    reader = CropReader(shards, MODEL, SEED)
    whole = list(micro_batches(reader, plan, first_step=0, last_step=9, parts=2))
    for first_step in (0, 2, 3, 7):  # in the first epoch, at its end, and later
        again = list(micro_batches(reader, plan, first_step=first_step, last_step=9, parts=2, workers=2))
        assert len(again) == 2 * (9 - first_step)
        for one, other in zip(whole[2 * first_step :], again, strict=True):
            assert torch.equal(one.windows, other.windows)
            assert torch.equal(one.keys, other.keys)


def test_epochs_differ_in_order_and_crops(tmp_path):
    shards = open_shards(published_folder(tmp_path, [20], frames=800))
    starts = shards.starts.tolist()
    first, second = (epoch_order(starts, SEED, epoch, 100).tolist() for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(20))
    assert len({crop_start(sample_key(SEED, epoch, 3), 800, 200) for epoch in range(50)}) > 40


def test_crops_begin_everywhere_equally_often():
    places = [crop_start(sample_key(0, 0, record), 204, 200) for record in range(5000)]
    counts = np.bincount(places, minlength=5)
    assert len(counts) == 5
    assert (abs(counts - 1000) < 150).all()
    assert crop_start(2**64 - 1, 150, 200) == 0


def test_a_small_shuffle_reads_few_shards_at_a_time(tmp_path):
    shards = open_shards(published_folder(tmp_path, [10] * 8, frames=10))
    order = epoch_order(shards.starts.tolist(), SEED, 0, shuffle_records=10)
    at_a_time = [{shards.shard_of(int(r)) for r in order[begin : begin + 10]} for begin in range(0, 80, 10)]
    assert all(len(stretch) == 1 for stretch in at_a_time)
    assert len({min(stretch) for stretch in at_a_time}) == 8


def test_windows_are_normalised_by_the_whole_record(tmp_path):
    write_published_shard(tmp_path / "a.tar", {"long": encode_logmel(logmel(900, 1), "float32")})
    shards = open_shards(tmp_path)
    batch = CropReader(shards, MODEL, SEED).read(0, np.array([0]))
    expected = normalise(torch.from_numpy(logmel(900, 1)), unbiased=False)  # (900, 80)
    start = crop_start(sample_key(SEED, 0, 0), 900, 200)
    torch.testing.assert_close(batch.windows[0], expected[start : start + 200], atol=2e-6, rtol=0)


def test_short_records_are_tiled(tmp_path):
    write_published_shard(tmp_path / "a.tar", {"short": encode_logmel(logmel(70, 1), "float32")})
    window = CropReader(open_shards(tmp_path), MODEL, SEED).read(0, np.array([0])).windows[0]
    assert window.shape == (200, 80)
    assert torch.equal(window[:70], window[70:140])
    assert torch.equal(window[:60], window[140:])


def test_shards_of_sound_give_the_windows_of_shards_of_log_mel(tmp_path):
    for seconds in (0.9, 1.98, 2.0, 2.03, 5.0, 9.7):
        write_sound(tmp_path / "sounds" / f"{seconds}.wav", seconds, int(100 * seconds))
    maker = WindowMaker(torch.device("cpu"))
    windows = {}
    for content in ("logmel", "audio"):
        config = PrepareConfig(held_out=0.0, content=content, dtype="float32")
        prepare([tmp_path / "sounds"], tmp_path / content, config, processes=1)
        reader = CropReader(open_shards(tmp_path / content), MODEL, SEED)
        windows[content] = torch.cat([maker(reader.read(epoch, np.arange(6))) for epoch in range(8)])
    assert windows["audio"].shape == (48, 200, 80)
    # The sound is stored in 16 bits: only what lies near their noise may differ.
    difference = (windows["audio"] - windows["logmel"]).abs()
    assert difference.mean() < 2e-4
    assert difference.max() < 0.1


def test_records_that_cannot_be_read_are_replaced_counted_and_told(tmp_path):
    class Dangerous:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "code has run",))

    objects = np.empty((1, 1), dtype=object)
    objects[0, 0] = Dangerous()
    stream = (tmp_path / "objects.npy").open("wb+")
    with stream:
        np.save(stream, objects, allow_pickle=True)
        stream.seek(0)
        pickled = stream.read()
    broken = logmel(300, 1)
    broken[5, 5] = np.nan
    records = {f"good{number}": encode_logmel(logmel(300, number), "float16") for number in range(4)}
    records |= {
        "pickled": pickled,
        "plain-pickle": pickle.dumps([1, 2]),
        "nan": encode_logmel(broken, "float32"),
        "shape": encode_logmel(logmel(300, 0)[:, :64], "float32"),
        "cut": encode_logmel(logmel(300, 0), "float32")[:5000],
    }
    write_published_shard(tmp_path / "a.tar", records)
    shards = open_shards(tmp_path)
    batch = CropReader(shards, MODEL, SEED).read(0, np.arange(9))
    assert batch.windows.shape == (9, 200, 80)
    assert batch.windows.isfinite().all()
    told = "\n".join(batch.skipped)
    assert len(batch.skipped) == 5
    for part in ("pickled objects", "not the bytes of a .npy", "NaN", "(300, 64)", "fewer values", "a.tar, record 4"):
        assert part in told
    assert not (tmp_path / "code has run").exists()
    again = CropReader(shards, MODEL, SEED).read(0, np.arange(9))
    assert torch.equal(batch.windows, again.windows)
    alone = CropReader(shards, MODEL, SEED).read(0, np.array([4]))  # replaced as in the larger batch
    assert torch.equal(alone.windows[0], batch.windows[4])
    assert alone.keys[0] == batch.keys[4]


def test_a_truncated_shard_gives_what_is_left_of_it(tmp_path, caplog):
    shards_before = open_shards(published_folder(tmp_path, [6, 6]))
    path = shards_before.shards[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        shards = open_shards(tmp_path)
    assert 8 <= len(shards) < 12
    assert "shard-000.tar" in caplog.text
    plan = plan_of(shards, global_batch=4)
    assert len(set(read_keys(shards, plan))) == 4 * plan.steps_per_epoch


def test_a_shard_cut_short_after_preparation_is_noticed(tmp_path, caplog):
    for number in range(4):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 2.0, number)
    prepare([tmp_path / "sounds"], tmp_path / "shards", PrepareConfig(held_out=0.0), processes=1)
    (path,) = (tmp_path / "shards").glob("*.tar")
    path.write_bytes(path.read_bytes()[:80_000])
    with caplog.at_level(logging.WARNING):
        shards = open_shards(tmp_path / "shards")
    assert len(shards) == 2
    assert "2 of its 4 records are lost" in caplog.text


def test_a_tar_damaged_in_the_middle_gives_what_comes_before(tmp_path, caplog):
    folder = published_folder(tmp_path, [6])
    path = folder / "shard-000.tar"
    content = bytearray(path.read_bytes())
    third = content.find(b"clip3.data.pyd")
    content[third : third + 100] = b"\xff" * 100
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        assert len(open_shards(folder)) == 3
    assert "damaged at byte" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_shard_is_named(tmp_path, workers):
    for number in range(4):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 1.0, number)
    folder = tmp_path / "shards"
    prepare([tmp_path / "sounds"], folder, PrepareConfig(held_out=0.0, shard_records=2), processes=1)
    shards = open_shards(folder)
    (folder / "train-000001.tar").unlink()
    with pytest.raises(DataError, match=r"train-000001\.tar: this shard is missing"):
        open_shards(folder)
    reader = CropReader(shards, MODEL, SEED)
    with pytest.raises(MissingShardError, match=r"train-000001\.tar: this shard is missing"):
        list(micro_batches(reader, plan_of(shards, 4), first_step=0, last_step=1, workers=workers))


def test_folders_that_hold_no_shards(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        open_shards(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no shards \(\*\.tar\)"):
        open_shards(tmp_path)
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(DataError, match="did not finish"):
        open_shards(tmp_path)
    (tmp_path / "index.json").write_text('{"format_version": 99}')
    with pytest.raises(DataError, match="format_version 99 is above"):
        open_shards(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DataError, match="not an index of shards"):
        open_shards(tmp_path)


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    shards = open_shards(published_folder(tmp_path, [5]))
    with pytest.raises(DataError, match="5 records are fewer than one global batch of 8 crops"):
        plan_of(shards, 8)


def test_facts_are_kept_beside_the_data(tmp_path):
    path = write_sound(tmp_path / "a.wav", 1.0, 0)
    prepare([path], tmp_path / "shards", PrepareConfig(held_out=0.0), processes=1)
    files = RecordFiles(open_shards(tmp_path / "shards"))
    assert files.facts(0)["source"] == str(path)
    files.close()
    foreign = RecordFiles(open_shards(published_folder(tmp_path / "foreign", [1])))
    assert foreign.facts(0) == {}
    foreign.close()


@pytest.mark.parametrize("index", [True, False])
def test_shards_of_other_content_are_other_shards(tmp_path, index):
    """Of equal names and lengths all of them: a run is not resumed on the ones that was begun on the others."""
    fingerprints = []
    for folder, seed in (("a", 0), ("b", 1), ("c", 0)):
        record = encode_logmel(logmel(5000, seed), "float32")
        shard = write_published_shard(tmp_path / folder / "a.tar", {"clip": record})
        if index:
            entry = {"name": "a.tar", "sha256": hashlib.sha256(shard.read_bytes()).hexdigest()}
            content = {"format_version": 1, "content": "logmel", "splits": {"train": {"shards": [entry]}}}
            (tmp_path / folder / "index.json").write_text(json.dumps(content))
        fingerprints.append(open_shards(tmp_path / folder).fingerprint)
    assert fingerprints[0] != fingerprints[1]
    assert fingerprints[0] == fingerprints[2]


def test_what_of_a_shard_is_read_for_its_fingerprint_is_bounded(tmp_path):
    write_published_shard(tmp_path / "a.tar", {"clip": encode_logmel(logmel(30_000, 0), "float32")})
    shards = open_shards(tmp_path)
    before = shards.fingerprint
    with shards.shards[0].open("rb+") as file:
        file.seek(5_000_000)  # far from either end of 9.6 MB
        file.write(b"x")
    assert open_shards(tmp_path).fingerprint == before


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("key", ["k" * 150, "clip-ü-" + "é" * 120, "folder/" * 40 + "clip"])
def test_long_names_of_foreign_shards_are_read(tmp_path, kind, key):
    content = {f"{key}{number}": encode_logmel(logmel(300, number), "float16") for number in range(3)}
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as tar:
        for name, data in content.items():
            for suffix, member in ((".target.pyd", b"12345"), (".data.pyd", data), (".json", b'{"label": "dog"}')):
                info = tarfile.TarInfo(name + suffix)
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
    files = RecordFiles(open_shards(tmp_path))
    assert [files.data(record) for record in range(3)] == list(content.values())
    assert files.facts(2) == {"label": "dog"}
    files.close()


def test_a_shard_without_records_is_told(tmp_path, caplog):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.mp3", "b.mp3"):
            tar.addfile(tarfile.TarInfo(name))
    with caplog.at_level(logging.WARNING):
        assert len(open_shards(tmp_path)) == 0
    assert "a.tar: none of its 2 members is a record; expected names that end with .data.pyd or .flac" in caplog.text


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Six records as log-mel and as sound, by content."""
    folder = tmp_path_factory.mktemp("prepared")
    for number in range(6):
        write_sound(folder / "sounds" / f"{number}.wav", 1.5 + number, number)
    for content in ("audio", "logmel"):
        config = PrepareConfig(held_out=0.0, content=content)
        prepare([folder / "sounds"], folder / content, config, processes=1)
    return folder


@pytest.mark.parametrize("content", ["audio", "logmel"])
def test_damage_of_any_kind_costs_its_own_record_only(prepared, content):
    (tar,) = (prepared / content).glob("*.tar")
    whole = tar.read_bytes()
    shards = open_shards(prepared / content)
    rng = np.random.default_rng(0)
    damaged = 0
    for trial in range(220):  # the longer the names in a record, the more edits only change a name
        row = shards.table[rng.integers(6)]
        member = "facts_" if trial % 4 == 0 else ""
        begin, size = int(row[f"{member}offset"]), int(row[f"{member}size"])
        bytes_of_shard = bytearray(whole)
        for place in rng.integers(size if trial % 2 else min(size, 200), size=rng.integers(1, 20)):
            bytes_of_shard[begin + place] = rng.integers(256)
        if trial % 3 == 0:
            cut = int(rng.integers(size))
            bytes_of_shard[begin + cut : begin + size] = bytes(size - cut)
        tar.write_bytes(bytes_of_shard)
        batch = CropReader(shards, MODEL, trial).read(0, np.arange(6))
        assert len(batch.skipped) <= 1
        damaged += len(batch.skipped)
        assert WindowMaker(torch.device("cpu"))(batch).isfinite().all()
    tar.write_bytes(whole)
    assert damaged > 40


def test_one_readable_record_is_enough_and_none_is_an_error(tmp_path):
    good = encode_logmel(logmel(300, 1), "float16")
    records = {f"bad{number}": b"nothing" for number in range(30)}
    write_published_shard(tmp_path / "some" / "a.tar", {**records, "good": good})
    batch = CropReader(open_shards(tmp_path / "some"), MODEL, SEED).read(0, np.arange(8))
    assert len(batch.skipped) == 8
    assert batch.windows.isfinite().all()
    write_published_shard(tmp_path / "none" / "a.tar", records)
    with pytest.raises(DataError, match=r"a\.tar, record 3: not the bytes of a \.npy .* none of 30 records"):
        CropReader(open_shards(tmp_path / "none"), MODEL, SEED).read(0, np.array([3]))


@pytest.mark.parametrize(("of", "given"), [("logmel", "audio"), ("audio", "logmel")])
def test_an_index_of_another_folder_is_named(prepared, tmp_path, of, given):
    shutil.copytree(prepared / of, tmp_path / of)
    shutil.copy(prepared / given / "index.json", tmp_path / of)
    reader = CropReader(open_shards(tmp_path / of), MODEL, SEED)
    with pytest.raises(DataError, match=rf"can be read in its place, as {tmp_path / of}/index\.json describes them"):
        reader.read(0, np.arange(6))


def test_a_disk_that_fails_costs_the_record(tmp_path, monkeypatch):
    shards = open_shards(published_folder(tmp_path, [4]))
    bad = int(shards.table["offset"][2])

    def read(file, offset, size):
        if offset == bad:
            raise OSError(5, "Input/output error")
        return read_at(file, offset, size)

    monkeypatch.setattr("axlstm.data.shards.read_at", read)
    batch = CropReader(shards, MODEL, SEED).read(0, np.arange(4))
    assert len(batch.skipped) == 1
    assert "record 2: [Errno 5] Input/output error" in batch.skipped[0]


def test_records_are_read_without_pread(tmp_path, monkeypatch):
    folder = published_folder(tmp_path, [3, 3])
    before = CropReader(open_shards(folder), MODEL, SEED).read(0, np.arange(6))
    monkeypatch.delattr(os, "pread")
    assert torch.equal(CropReader(open_shards(folder), MODEL, SEED).read(0, np.arange(6)).windows, before.windows)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_end_with_the_generator(tmp_path, workers):
    shards = open_shards(published_folder(tmp_path, [8]))
    batches = micro_batches(
        CropReader(shards, MODEL, SEED), plan_of(shards, 4), first_step=0, last_step=100, workers=workers
    )
    next(batches)
    assert len(multiprocessing.active_children()) == workers
    batches.close()
    assert not multiprocessing.active_children()


def test_a_split_without_shards_has_a_table_of_no_records(tmp_path):
    empty = open_shards(published_folder(tmp_path, [1]), "valid")
    assert len(empty) == 0
    assert empty.table["offset"].size == 0

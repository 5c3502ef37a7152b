"""Raw audio to shards: what is kept, what is dropped, and what survives an interruption."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
import torch

from axlstm.audio.logmel import LogMel
from axlstm.audio.read import load_audio
from axlstm.cli import main
from axlstm.data.config import PrepareConfig
from axlstm.data.manifest import Item, held_out_groups
from axlstm.data.prepare import prepare
from axlstm.data.tar import ShardWriter
from axlstm.errors import AudioError, ConfigError, DataError, WriteError
from axlstm.locks import InUseError
from tests.seeded import audio
from tests.shards.made import facts_of, read_shard, skipped, write_sound

ALL = PrepareConfig(held_out=0.0)


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in ("lock", "journal.jsonl")}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    for number, (name, rate, channels) in enumerate(
        [
            ("a.wav", 16_000, 1),
            ("b.flac", 44_100, 2),
            ("c.ogg", 22_050, 1),
            ("d.mp3", 48_000, 2),
            ("deep/e.aiff", 32_000, 1),
        ]
    ):
        write_sound(folder / name, 1.5, number, rate, channels)
    return folder


def test_mixed_formats_become_the_log_mel_of_each_file(sounds, tmp_path):
    index = prepare([sounds], tmp_path / "shards", PrepareConfig(held_out=0.0, dtype="float32"), processes=1)
    assert index["splits"]["train"]["records"] == 5
    (shard,) = (tmp_path / "shards").glob("train-*.tar")
    members = read_shard(shard)
    entry = index["splits"]["train"]["shards"][0]
    assert entry["sha256"] == hashlib.sha256(shard.read_bytes()).hexdigest()
    assert entry["bytes"] == shard.stat().st_size
    for name, content in members.items():
        if name.endswith(".data.pyd"):
            facts = json.loads(members[name.replace(".data.pyd", ".json")])
            expected = LogMel()(torch.from_numpy(load_audio(facts["source"]))).numpy()
            stored = np.load(io.BytesIO(content), allow_pickle=False)
            assert stored.dtype == np.float32
            np.testing.assert_allclose(stored, expected, atol=2e-2)
            assert abs(stored - expected).mean() < 1e-4
            assert facts["logmel_mean"] == pytest.approx(stored.mean(dtype=np.float64), abs=1e-5)
            assert facts["logmel_deviation"] == pytest.approx(stored.std(dtype=np.float64), abs=1e-5)


def test_long_files_are_cut_and_sound_the_same_as_in_one_piece(tmp_path):
    path = write_sound(tmp_path / "long.wav", 134.2, 1, 11_025)  # longer than what is decoded at once
    prepare([path], tmp_path / "shards", PrepareConfig(held_out=0.0, content="audio"), processes=1)
    facts = sorted(facts_of(tmp_path / "shards", "train"), key=lambda f: f["start_s"])
    assert [f["start_s"] for f in facts] == [10.0 * i for i in range(14)]
    assert facts[-1]["seconds"] == pytest.approx(4.2)
    members = read_shard(next((tmp_path / "shards").glob("*.tar")))
    pieces = [soundfile.read(io.BytesIO(members[name]))[0] for name in sorted(members) if name.endswith(".flac")]
    np.testing.assert_allclose(np.concatenate(pieces), load_audio(path), atol=3e-4)


def test_duplicates_silence_and_short_clips_are_dropped_and_counted(tmp_path):
    folder = tmp_path / "sounds"
    path = write_sound(folder / "one.wav", 2.0, 0)
    soundfile.write(folder / "copy.flac", soundfile.read(path, dtype="int16")[0], 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(32_000), 16_000)
    write_sound(folder / "short.wav", 0.2, 2)
    (folder / "text.wav").write_text("no sound at all")
    (folder / "empty.wav").touch()
    soundfile.write(folder / "nan.wav", np.full(32_000, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    index = prepare([folder], tmp_path / "shards", ALL, processes=1)
    assert index["splits"]["train"]["records"] == 1
    assert index["skipped"] == {"duplicate": 1, "silent": 1, "short": 1, "unreadable": 3}
    reasons = {Path(line["path"]).name: line["reason"] for line in skipped(tmp_path / "shards")}
    assert reasons["silent.wav"] == "silent"
    assert reasons["nan.wav"] == "unreadable"
    assert {reasons.get("one.wav"), reasons.get("copy.flac")} == {"duplicate", None}


@pytest.mark.parametrize("change", ["other", "fetched"])
@pytest.mark.parametrize("finished", [True, False])
def test_sounds_that_changed_are_not_passed_over(change, finished, tmp_path):
    folder, shards = tmp_path / "card", tmp_path / "shards"
    for number in range(3):
        write_sound(folder / f"{number}.wav", 2.0, number)
    if change == "fetched":
        (folder / "3.wav").symlink_to("annex.wav")
    if finished:
        prepare([folder], shards, ALL, processes=1)
    else:
        with pytest.raises(KeyboardInterrupt):
            prepare([folder], shards, ALL, processes=1, on_progress=_interrupt)
    before = sorted(path.name for path in shards.iterdir())
    if change == "other":
        write_sound(folder / "1.wav", 3.0, 9)  # another card under the same names
    else:
        write_sound(tmp_path / "found" / "annex.wav", 2.0, 9).rename(folder / "annex.wav.tmp")
        (folder / "3.wav").unlink()
        (folder / "annex.wav.tmp").rename(folder / "3.wav")
    with pytest.raises(DataError, match="audio files have changed since it was begun"):
        prepare([folder], shards, ALL, processes=1)
    assert sorted(path.name for path in shards.iterdir()) == before


def _interrupt(_):
    raise KeyboardInterrupt


def test_a_part_beyond_the_end_of_its_file_is_not_called_short(tmp_path):
    write_sound(tmp_path / "a.wav", 2.0, 0)
    manifest = tmp_path / "parts.csv"
    manifest.write_text("path,start,end\na.wav,0,2\na.wav,2,3\na.wav,70,80\na.wav,1.9,3\n")
    index = prepare([manifest], tmp_path / "shards", ALL, processes=1)
    assert index["skipped"] == {"beyond the end": 2, "short": 1}
    details = [line["detail"] for line in skipped(tmp_path / "shards")]
    assert "starts at 70.000 s, but the file ends at 2.000 s" in details


def test_what_a_search_skips_is_listed_and_what_is_not_sound_is_counted(tmp_path, capsys):
    folder, shards = tmp_path / "sounds", tmp_path / "sounds" / "shards"
    write_sound(folder / "one.wav", 2.0, 0).rename(folder / "REC0001")
    (folder / "notes.txt").write_text("words")
    (folder / "unfetched.wav").symlink_to("gone.wav")

    with pytest.raises(KeyboardInterrupt):
        prepare([folder], shards, ALL, processes=1, on_progress=_interrupt)
    assert main(["prepare", str(folder), str(shards), "--held-out", "0", "--processes", "1"]) == 0
    told = capsys.readouterr().out
    assert "skipped       1 unreadable" in told
    assert "1 not sound (1 .txt)" in told  # nor do the shards count, which the second search met too
    index = json.loads((shards / "index.json").read_text())
    assert (index["splits"]["train"]["records"], index["skipped"]) == (1, {"unreadable": 1})
    assert index["not_sound"] == {".txt": 1}
    [line] = skipped(shards)
    assert line["path"] == str(folder / "unfetched.wav")
    assert "a link to gone.wav, which is not there" in line["detail"]


def test_groups_are_never_on_both_sides(tmp_path):
    for group in range(6):
        for clip in range(4):
            write_sound(tmp_path / "sounds" / f"voice{group}" / f"{clip}.wav", 0.6, 10 * group + clip)
    config = PrepareConfig(held_out=0.3, grouping="folder")
    index = prepare([tmp_path / "sounds"], tmp_path / "shards", config, processes=1)
    train = {f["group"] for f in facts_of(tmp_path / "shards", "train")}
    valid = {f["group"] for f in facts_of(tmp_path / "shards", "valid")}
    assert not train & valid
    assert len(train | valid) == 6
    assert index["splits"]["valid"]["records"] == 8


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_manifest_gives_times_labels_and_groups(tmp_path, kind):
    write_sound(tmp_path / "a.wav", 6.0, 0)
    rows = [
        {"path": "a.wav", "start": 1.0, "end": 3.0, "label": "dog", "group": "g1"},
        {"path": "a.wav", "start": 4.0, "end": None, "label": None, "group": "g2"},
        {"path": "gone.wav", "start": None, "end": None, "label": "cat", "group": "g1"},
    ]
    manifest = tmp_path / f"list.{kind}"
    if kind == "csv":
        with manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pa.parquet.write_table(pa.Table.from_pylist(rows), manifest)
    index = prepare([manifest], tmp_path / "shards", ALL, processes=1)
    found = {(f["start_s"], f["seconds"], f["label"], f["group"]) for f in facts_of(tmp_path / "shards", "train")}
    assert found == {(1.0, 2.0, "dog", "g1"), (4.0, 2.0, None, "g2")}
    assert index["skipped"] == {"missing": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.wav,café\n", r"list\.csv: not UTF-8"),
        ("file,label\na.wav,x\n", "columns file, label; expected path"),
        ("path,start,end\na.wav,3,2\n", "row 1: ends at 2.0 s, not after its start at 3.0 s"),
        ("path,start\na.wav,soon\n", "start is 'soon': expected seconds"),
        ('path\n""\n', "row 1: no path"),
        ("path,label\n", r"list\.csv: no rows; expected one for each sound"),
    ],
)
def test_bad_manifests_say_what_is_wrong(tmp_path, content, message):
    manifest = tmp_path / "list.csv"
    manifest.write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        prepare([manifest], tmp_path / "shards", ALL, processes=1)


def test_an_interrupted_preparation_goes_on_to_the_same_bytes(tmp_path):
    folder = tmp_path / "sounds"
    for number in range(7):
        write_sound(folder / f"{number}.wav", 3.3, number % 6, 8_000 + 1000 * number)
    config = PrepareConfig(held_out=0.2, record_seconds=1.0, shard_records=4, min_seconds=0.5)
    prepare([folder], tmp_path / "whole", config, processes=1)

    class Killed(Exception):
        pass

    def kill_after(records: int):
        def on_progress(progress):
            if progress.records >= records:
                raise Killed

        return on_progress

    for records in (3, 1, 5, 7):
        with pytest.raises(Killed):
            prepare([folder], tmp_path / "cut", config, processes=1, on_progress=kill_after(records))
        assert not (tmp_path / "cut" / "index.json").exists()
        assert not list((tmp_path / "cut").glob(".*.part"))
    prepare([folder], tmp_path / "cut", config, processes=1)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_several_processes_write_the_same_bytes_as_one(sounds, tmp_path):
    prepare([sounds], tmp_path / "one", ALL, processes=1)
    prepare([sounds], tmp_path / "two", ALL, processes=2)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def test_a_finished_folder_is_left_alone_and_other_settings_are_refused(sounds, tmp_path):
    shards = tmp_path / "shards"
    index = prepare([sounds], shards, ALL, processes=1)
    before = files_of(shards)
    assert prepare([sounds], shards, ALL, processes=1) == index
    with pytest.raises(DataError, match=r"other settings .*min_seconds: 0.5 there, 0.7 here"):
        prepare([sounds], shards, PrepareConfig(held_out=0.0, min_seconds=0.7), processes=1)
    with pytest.raises(DataError, match="begun with other audio files"):
        prepare([sounds / "a.wav"], shards, ALL, processes=1)
    assert files_of(shards) == before


def test_nothing_to_prepare(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match=r"no sound files in .*empty"):
        prepare([tmp_path / "empty"], tmp_path / "shards", ALL, processes=1)
    with pytest.raises(AudioError, match="no such file or folder"):
        prepare([tmp_path / "nowhere"], tmp_path / "shards", ALL, processes=1)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "x.wav").write_text("words")
    with pytest.raises(DataError, match=r"no readable audio .*1 unreadable.*skipped\.jsonl"):
        prepare([bad], tmp_path / "shards", ALL, processes=1)


def test_links_that_all_lead_nowhere_are_named_and_nothing_is_written(tmp_path):
    dead = tmp_path / "dead"
    dead.mkdir()
    for name in ("a.wav", "b.wav"):
        (dead / name).symlink_to("gone.wav")
        with pytest.raises(AudioError, match=r"dead: no sound that can be read: .*a\.wav: a link to gone\.wav"):
            prepare([dead], tmp_path / "shards", PrepareConfig(held_out=0.1), processes=1)
    assert not (tmp_path / "shards").exists()


def test_groups_too_large_for_the_share_are_told(tmp_path, caplog):
    for folder, files in (("a", 5), ("b", 4), ("c", 4)):
        for number in range(files):
            write_sound(tmp_path / "sounds" / folder / f"{number}.wav", 0.6, 10 * files + number)
    told = r"held out (4|5) of 13 items \((31|38) %\), where 10 % were asked for: groups are held out whole"
    prepare([tmp_path / "sounds"], tmp_path / "one", PrepareConfig(held_out=0.1, grouping="folder"), processes=1)
    assert re.search(told, caplog.text)
    caplog.clear()
    prepare([tmp_path / "sounds"], tmp_path / "two", PrepareConfig(held_out=0.1), processes=1)
    prepare([tmp_path / "sounds"], tmp_path / "three", PrepareConfig(held_out=0.3, grouping="folder"), processes=1)
    assert caplog.text == ""


def test_one_group_cannot_be_held_out(tmp_path):
    path = write_sound(tmp_path / "a.wav", 1.0, 0)
    with pytest.raises(DataError, match="nothing can be held out by group"):
        prepare([path], tmp_path / "shards", PrepareConfig(held_out=0.1), processes=1)


def test_a_full_disk_leaves_whole_shards_only(tmp_path, monkeypatch):
    for number in range(5):
        write_sound(tmp_path / "sounds" / f"{number}.wav", 0.6, number)
    config = PrepareConfig(held_out=0.0, shard_records=2)
    prepare([tmp_path / "sounds"], tmp_path / "whole", config, processes=1)
    add, calls = ShardWriter._member, iter(range(100))

    def full_after_seven(self, name, content):
        if next(calls) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, name, content)

    monkeypatch.setattr(ShardWriter, "_member", full_after_seven)
    with pytest.raises(WriteError, match=r"cannot be written \(No space left on device\).*run the same command again"):
        prepare([tmp_path / "sounds"], tmp_path / "shards", config, processes=1)
    assert [path.name for path in sorted((tmp_path / "shards").glob("*.tar"))] == ["train-000000.tar"]
    assert not list((tmp_path / "shards").glob(".*"))
    monkeypatch.undo()
    prepare([tmp_path / "sounds"], tmp_path / "shards", config, processes=1)
    assert files_of(tmp_path / "shards") == files_of(tmp_path / "whole")


def test_impossible_settings_are_refused():
    for wrong in (
        {"content": "mp3"},
        {"min_seconds": 20.0},
        {"held_out": 1.0},
        {"shard_records": 0},
        {"record_seconds": 999},
    ):
        with pytest.raises(ConfigError, match="expected"):
            PrepareConfig(**wrong)


def test_two_preparations_cannot_share_a_folder(tmp_path):
    write_sound(tmp_path / "sounds" / "a.wav", 1.0, 0)
    code = (
        "import sys; from pathlib import Path; from axlstm.locks import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "shards")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InUseError, match=f"in use by process {other.pid} on "):
            prepare([tmp_path / "sounds"], tmp_path / "shards", ALL, processes=1)
        other.communicate()
    prepare([tmp_path / "sounds"], tmp_path / "shards", ALL, processes=1)


def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path):
    code = (
        "import sys, resource; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from axlstm.data.prepare import prepare; from axlstm.data.config import PrepareConfig\n"
        "config = PrepareConfig(held_out=0.0, content='audio')\n"
        "for number, path in enumerate(sys.argv[2:]):\n"
        "    prepare([Path(path)], Path(sys.argv[1], str(number)), config, processes=1)\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(600 * 8_000)).astype(np.float32)
    for name, minutes in (("short.wav", 5), ("long.wav", 40)):
        with soundfile.SoundFile(tmp_path / name, "w", 8_000, 1) as file:
            for _ in range(minutes // 5):
                file.write(np.roll(noise, len(name))[: 300 * 8_000])
    arguments = [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "short.wav"), str(tmp_path / "long.wav")]
    short_mib, long_mib = map(int, subprocess.run(arguments, capture_output=True, check=True).stdout.split())
    assert long_mib - short_mib < 25  # the long file alone is 77 MiB of samples at 16 kHz


def test_stored_half_precision_is_close_enough(tmp_path):
    path = write_sound(tmp_path / "a.wav", 2.0, 3)
    prepare([path], tmp_path / "shards", ALL, processes=1)
    members = read_shard(next((tmp_path / "shards").glob("*.tar")))
    (name,) = (name for name in members if name.endswith(".data.pyd"))
    stored = np.load(io.BytesIO(members[name]), allow_pickle=False)
    assert stored.dtype == np.float16
    expected = LogMel()(torch.from_numpy(audio(2.0, 3))).numpy()
    np.testing.assert_allclose(stored.astype(np.float32), expected, atol=0.05)


def test_the_share_held_out_is_never_everything():
    for groups, share in ((2, 0.9), (3, 0.8), (10, 0.95), (100, 0.99)):
        items = [Item(f"{number}.wav", f"group {number}") for number in range(groups)]
        for seed in range(5):
            assert 1 <= len(held_out_groups(items, share, seed)) < groups


def test_a_flac_that_does_not_say_how_long_it_is_is_prepared(tmp_path):
    plain = write_sound(tmp_path / "plain" / "a.flac", 134.2, 1, 11_025)  # longer than what is decoded at once
    raw = plain.read_bytes()
    fields = int.from_bytes(raw[18:26], "big") >> 36 << 36
    (tmp_path / "piped").mkdir()
    (tmp_path / "piped" / "a.flac").write_bytes(raw[:18] + fields.to_bytes(8, "big") + raw[26:])
    members = {}
    for name in ("plain", "piped"):
        prepare([tmp_path / name], tmp_path / f"{name}-shards", ALL, processes=1)
        content = read_shard(tmp_path / f"{name}-shards" / "train-000000.tar")
        members[name] = {key: value for key, value in content.items() if not key.endswith(".json")}
        assert not skipped(tmp_path / f"{name}-shards")
    assert len(members["piped"]) == 14
    assert members["piped"] == members["plain"]


def test_names_that_are_not_utf8_are_prepared(tmp_path):
    folder = tmp_path / "sounds"
    for number in range(4):
        write_sound(folder / f"{number}.wav", 1.0, number)
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav"))
    (folder / "0.wav").rename(odd)
    prepare([folder], tmp_path / "shards", PrepareConfig(held_out=0.3), processes=1)
    facts = facts_of(tmp_path / "shards", "train") + facts_of(tmp_path / "shards", "valid")
    assert {Path(one["source"]) for one in facts} == {odd, *(folder / f"{number}.wav" for number in (1, 2, 3))}
    assert not skipped(tmp_path / "shards")


def test_records_of_a_length_that_is_no_whole_number_of_samples(tmp_path):
    path = write_sound(tmp_path / "a.wav", 250.0, 1)
    prepare([path], tmp_path / "shards", PrepareConfig(held_out=0.0, record_seconds=10 / 3), processes=1)
    assert not skipped(tmp_path / "shards")
    facts = sorted(facts_of(tmp_path / "shards", "train"), key=lambda one: one["start_s"])
    assert len(facts) == 75
    assert sum(one["seconds"] for one in facts) == pytest.approx(250.0, abs=0.05)
    assert [one["start_s"] for one in facts] == pytest.approx([10 / 3 * number for number in range(75)], abs=1e-3)


def test_values_that_are_no_sound_cost_their_stretch_only(tmp_path, monkeypatch):
    """The minute with a value of 1e20 is skipped with its time; the rest of the file is prepared."""
    monkeypatch.setattr("axlstm.data.segments.STRETCH_SECONDS", 10)
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name, rate, value in (("single.wav", 44_100, 1e20), ("double.wav", 16_000, 1e300)):
        samples = audio(30, rate, rate).astype(np.float64)
        samples[15 * rate] = value
        soundfile.write(sounds / name, samples, rate, "DOUBLE" if value > 1e38 else "FLOAT")
    config = PrepareConfig(record_seconds=10, held_out=0)
    index = prepare([sounds], tmp_path / "shards", config, processes=1)
    assert index["splits"]["train"]["records"] == 4
    assert index["skipped"] == {"unreadable": 2}
    skipped = [json.loads(line) for line in (tmp_path / "shards" / "skipped.jsonl").read_text().splitlines()]
    assert {(Path(skip["path"]).name, skip["start_s"], skip["seconds"]) for skip in skipped} == {
        ("single.wav", 10, 10),
        ("double.wav", 10, 10),
    }
    for skip, value in zip(sorted(skipped, key=lambda skip: skip["path"]), ("1e+300", "1e+20"), strict=True):
        assert f"holds {value} at 15.000 s; expected samples in [-1, 1]" in skip["detail"]


@pytest.mark.parametrize(("content", "kept"), [("audio", 1), ("logmel", 2)])
def test_floats_in_the_units_of_integers_are_not_stored_as_clipped_noise(content, kept, tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for seed, scale in enumerate((2, 32768)):  # 6 dB beyond full scale are usual in floats
        soundfile.write(sounds / f"{seed}.wav", audio(2, seed) / np.abs(audio(2, seed)).max() * scale, 16_000, "FLOAT")
    index = prepare([sounds], tmp_path / "shards", PrepareConfig(content=content, held_out=0), processes=1)
    assert index["splits"]["train"]["records"] == kept
    assert index["skipped"] == ({"beyond full scale": 1} if content == "audio" else {})

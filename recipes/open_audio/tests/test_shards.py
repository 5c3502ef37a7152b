"""From packages to a manifest, to shards, to the proof that nothing leaks: all on made sounds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from axlstm.errors import AxlstmError, DataError
from axlstm.evaluate.tasks.clip_notes import NOTES_FILE
from recipes.open_audio import leaks as leaks_module
from recipes.open_audio import manifest as manifest_module
from recipes.open_audio.fetch import Work
from recipes.open_audio.leaks import find_leaks, leaks_by_manifest, shard_sources
from recipes.open_audio.manifest import build_manifest, read_manifest
from recipes.open_audio.shards import select, write_shards
from recipes.open_audio.summary import by_licence, summarise
from recipes.open_audio.tests.made import RATE_HZ, SMALL, packages_of_every_kind, quiet, tune


def test_the_manifest_says_what_is_known_and_a_second_run_does_nothing(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {row.path: row for row in read_manifest(work.manifest)}
    tested, copy = rows["x/tested/p/a.wav"], rows["x/noises/p/copy.ogg"]
    assert (tested.kind, tested.licence, tested.reserved, tested.duration_s) == (
        "effect", "CC0-1.0", "environment", 2.0,
    )  # fmt: skip
    assert copy.cluster == tested.cluster
    assert copy.duplicate_of == ""
    assert len({row.cluster for row in rows.values()}) == len(rows) - 1
    before = work.manifest.stat().st_mtime_ns

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(manifest_module, "probe_package", never)
    assert len(build_manifest(packages_of_every_kind()[0], work, quiet).rows) == len(rows)
    assert work.manifest.stat().st_mtime_ns == before


def test_a_half_written_manifest_is_written_anew(work: Work) -> None:
    whole = work.manifest.read_bytes()
    work.manifest.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="fetch writes it anew"):
        read_manifest(work.manifest)
    build_manifest(packages_of_every_kind()[0], work, quiet)
    assert work.manifest.read_bytes() == whole


def test_shards_hold_every_kind_and_nothing_that_a_task_tests_on(work: Work) -> None:
    out = work.folder / "shards"
    index = write_shards(work, out, SMALL, quiet, processes=1)
    names = shard_sources(out)
    assert "x/noises/p/other.wav" in names
    assert not {name for name in names if name.startswith("x/tested") or "copy" in name}
    assert {name.split("/")[1] for name in names} == {"talk", "tracks", "noises", "keys"}
    assert index["splits"]["valid"]["records"] > 0
    assert find_leaks(work, out, [], quiet)[1] == []


def test_shards_are_the_same_bytes_wherever_the_folder_lies_and_a_second_run_does_nothing(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = write_shards(work, work.folder / "shards", SMALL, quiet, processes=1)
    moved = Work(work.folder.rename(tmp_path / "elsewhere"))
    assert write_shards(moved, moved.folder / "shards", SMALL, quiet, processes=1) == index
    monkeypatch.chdir(tmp_path)
    near = Work(Path("elsewhere"))
    assert write_shards(near, Path("other"), SMALL, quiet, processes=1)["splits"] == index["splits"]


def test_of_a_cluster_the_longest_is_taken_and_tracks_are_cut_into_spread_pieces(work: Work) -> None:
    rows = read_manifest(work.manifest)
    track = next(row for row in rows if row.kind == "music")
    copy = replace(track, path="x/copies/short.wav", duration_s=3.0)
    taken = [piece for piece in select([*rows, copy], SMALL) if piece.row.cluster == track.cluster]
    assert [(piece.row.path, piece.start_s, piece.end_s) for piece in taken] == [
        (track.path, 1.333, 2.333),
        (track.path, 3.667, 4.667),
    ]


def test_too_few_hours_or_a_missing_kind_is_an_error(work: Work) -> None:
    with pytest.raises(DataError, match="expected every kind, and 30 h"):
        write_shards(work, work.folder / "shards", replace(SMALL, least_hours=30.0), quiet, processes=1)
    packages = [package for package in packages_of_every_kind()[0] if package.kind != "note"]
    build_manifest(packages, work, quiet)
    with pytest.raises(DataError, match="none of note"):
        write_shards(work, work.folder / "shards", SMALL, quiet, processes=1)


def test_the_check_names_what_is_reserved_a_copy_or_unknown(work: Work) -> None:
    rows = read_manifest(work.manifest)
    leaks = leaks_by_manifest(rows, {"x/tested/p/b.wav", "x/noises/p/copy.ogg", "x/other.wav", "x/talk/p/0.wav"})
    assert len(leaks) == 3
    assert "x/noises/p/copy.ogg: in the shards, and a copy of x/tested/p/a.wav" in leaks[0]
    assert "not in the manifest" in leaks[1]
    assert "reserved for environment" in leaks[2]


def test_the_check_hears_a_test_clip_in_the_shards(work: Work, tmp_path: Path) -> None:
    out = work.folder / "shards"
    write_shards(work, out, SMALL, quiet, processes=1)
    task = tmp_path / "tasks/words-v1-full"
    for split, seed in (("train", 0), ("test", 70)):
        (task / "16000" / split).mkdir(parents=True)
        soundfile.write(task / "16000" / split / "clip.wav", tune(seed), RATE_HZ)
    (task / "task_metadata.json").write_text(json.dumps({"split_mode": "trainvaltest"}), encoding="utf-8")
    assert find_leaks(work, out, [task], quiet)[1] == []
    soundfile.write(task / "16000/test/clip.wav", tune(1)[800:] * 0.5, RATE_HZ, subtype="PCM_U8")
    (leak,) = find_leaks(work, out, [task], quiet)[1]
    assert "test/clip.wav: shares" in leak
    assert "x/talk/p/1.wav of the shards" in leak
    with pytest.raises(AxlstmError, match=r"no task_metadata\.json"):
        find_leaks(work, out, [tmp_path / "nothing"], quiet)


def test_notes_that_an_evaluation_left_are_no_clips(tmp_path: Path) -> None:
    folds = tmp_path / "words-v1-full/16000"
    for fold in ("fold00", "fold01"):
        (folds / fold).mkdir(parents=True)
        soundfile.write(folds / fold / "clip.wav", tune(0), RATE_HZ)
    (folds / NOTES_FILE).write_text("{}\n", encoding="utf-8")
    (folds.parent / "task_metadata.json").write_text(json.dumps({"split_mode": "new_split_kfold"}), encoding="utf-8")
    assert leaks_module.tested_clips(folds.parent) == [folds / "fold00/clip.wav", folds / "fold01/clip.wav"]


def test_tables_count_hours_once_a_cluster(work: Work) -> None:
    rows = [replace(row, duration_s=3600.0) for row in read_manifest(work.manifest)]
    assert "| effect | 4 | 4.00 | 4.00 | 3.00 | 2.00 |" in summarise(rows)
    assert by_licence(rows).splitlines()[-1] == "| CC0-1.0 | 3.00 | 3.00 | 4.00 | 3.00 |"

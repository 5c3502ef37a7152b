"""Plans: the same listing gives the same parts, each recording is in one part, and damage is told."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from axlstm.errors import ConfigError, DamageError
from axlstm.parts.entries import Entry
from axlstm.parts.folders import LocalFolder
from axlstm.parts.plan import ENTRIES, PLAN, Limits, cut, make_plan, read_plan

LIMITS = Limits(3, 1.0)


def entries(count: int) -> list[Entry]:
    return [Entry(f"{number:03d}.wav", 100_000 * (number % 5), str(number)) for number in range(count)]


def make(folder: LocalFolder, listing: list[Entry], limits: Limits = LIMITS) -> bytes:
    make_plan(folder, {"command": "embed"}, ["sounds"], limits, listing, {})
    return folder.read(PLAN) + folder.read(ENTRIES)


def test_a_plan_holds_each_entry_once_and_in_order(tmp_path: Path) -> None:
    folder, listing = LocalFolder(tmp_path), entries(20)
    listing[7] = Entry("a folder\udce9", skip="a folder that cannot be listed")
    make(folder, listing)
    plan = read_plan(folder)
    assert plan is not None
    assert [entry for part in range(plan.parts) for entry in plan.read_entries(folder, part)] == listing
    assert plan.entries == 20
    assert plan.size_bytes == sum(max(0, entry.size_bytes) for entry in listing)


def test_the_same_listing_gives_the_same_bytes_and_another_one_another_id(tmp_path: Path) -> None:
    first, again = make(LocalFolder(tmp_path / "a"), entries(20)), make(LocalFolder(tmp_path / "b"), entries(20))
    assert first == again
    folders = [LocalFolder(tmp_path / name) for name in "cd"]
    make(folders[0], entries(21))
    make(folders[1], entries(20), Limits(4, 1.0))
    ids = {plan.id for folder in (LocalFolder(tmp_path / "a"), *folders) if (plan := read_plan(folder)) is not None}
    assert len(ids) == 3


def test_parts_end_at_files_or_megabytes_and_a_large_file_is_a_part() -> None:
    sizes = [1, 1, 1, 1, 900_000, 200_000, 5_000_000, 1]
    parts = list(cut([Entry(str(size), size) for size in sizes], LIMITS))
    assert [[entry.size_bytes for entry in part] for part in parts] == [
        [1, 1, 1],
        [1, 900_000],
        [200_000],
        [5_000_000],
        [1],
    ]


@pytest.mark.parametrize("limits", [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_impossible_limits_are_refused(limits: tuple[int, float]) -> None:
    with pytest.raises(ConfigError, match="--part-"):
        Limits(*limits)


def test_another_job_or_listing_is_refused_with_what_differs(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    make(folder, entries(3))
    plan = read_plan(folder)
    assert plan is not None
    plan.refuse_other(folder, {"command": "embed"}, ["sounds"], LIMITS)
    with pytest.raises(ConfigError, match="--part-files: 3 there, 4 here"):
        plan.refuse_other(folder, {"command": "embed"}, ["sounds"], Limits(4, 1.0))
    with pytest.raises(ConfigError, match="recordings: "):
        plan.refuse_other(folder, {"command": "embed"}, ["others"], LIMITS)
    with pytest.raises(ConfigError, match="command: 'embed' there, 'index' here"):
        plan.refuse_other(folder, {"command": "index"}, ["sounds"], LIMITS)


@pytest.mark.parametrize("name", [PLAN, ENTRIES])
def test_damage_is_told(tmp_path: Path, name: str) -> None:
    folder = LocalFolder(tmp_path)
    make(folder, entries(3))
    path = tmp_path / name
    path.write_bytes(path.read_bytes().replace(b"002.wav", b"003.wav").replace(b'"embed"', b'"index"'))
    with pytest.raises(DamageError, match="damaged"):
        read_plan(folder).read_entries(folder, 0)  # type: ignore[union-attr]


def test_a_plan_of_another_version_is_told(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    make(folder, entries(3))
    values = json.loads(folder.read(PLAN))
    del values["crc32"]
    folder.write(PLAN, json.dumps({**values, "format_version": 2}).encode())
    with pytest.raises(DamageError, match="format_version 2, expected 1"):
        read_plan(folder)


def test_memory_does_not_grow_with_the_listing(tmp_path: Path) -> None:
    peaks = []
    for count in (1_000, 20_000):
        tracemalloc.start()
        listing = (Entry(f"{number:08d}.wav", 64_000, "1") for number in range(count))
        make_plan(LocalFolder(tmp_path / str(count)), {}, [], Limits(500, 500.0), listing, {})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000

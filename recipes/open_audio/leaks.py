"""Check that pretraining hears no recording that a task tests on: by manifest, by ``used.csv``, by fingerprint."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import soundfile

from axlstm.data.shards import RecordFiles, open_shards
from axlstm.errors import AxlstmError, DataError
from axlstm.evaluate.tasks.read import find_tasks
from recipes.open_audio.fetch import Report, Work, read_facts
from recipes.open_audio.fingerprint import Fingerprint
from recipes.open_audio.manifest import Row, read_manifest
from recipes.open_audio.matching import Index
from recipes.open_audio.probe import fingerprint_file, probe_package
from recipes.open_audio.reserved import is_reserved
from recipes.open_audio.unpack import SOUND

USED = "used.csv"
"""Beside tasks: one line for each recording and split of theirs."""

_BELOW = "*/task_metadata.json"


def shard_sources(directory: Path) -> set[str]:
    """Read the manifest paths of the recordings in a folder's shards, validation included."""
    sources: set[str] = set()
    for split in ("train", "valid"):
        opened = open_shards(directory, split)
        files = RecordFiles(opened)
        sources |= {files.facts(number)["source"] for number in range(len(opened))}
        files.close()
    return sources


def leaks_by_manifest(rows: Sequence[Row], sources: set[str]) -> list[str]:
    """Find sources (manifest paths) that are unknown, reserved, or copies of reserved recordings."""
    by_path = {row.path: row for row in rows}
    reserved_of: dict[int, str] = {}
    for row in rows:
        if is_reserved(vars(row)):
            reserved_of.setdefault(row.cluster, row.path)
    leaks = []
    for source in sorted(sources):
        found = by_path.get(source)
        if found is None:
            leaks.append(f"{source}: in the shards, but not in the manifest")
        elif is_reserved(vars(found)):
            leaks.append(f"{source}: in the shards, and reserved for {found.reserved}")
        elif found.cluster in reserved_of:
            leaks.append(f"{source}: in the shards, and a copy of {reserved_of[found.cluster]}, which is reserved")
    return leaks


def leaks_by_use(rows: Sequence[Row], sources: set[str], tasks: Sequence[Path]) -> list[str]:
    """Find recordings in ``used.csv`` that tasks test on and that the shards hold, copies included.

    A fingerprint does not recognise the recordings of a mixture; ``used.csv`` lists them.
    """
    by_path = {row.path: row for row in rows}
    heard = {by_path[source].cluster: source for source in sorted(sources & by_path.keys())}
    leaks = []
    for task in tasks:
        table = task.resolve().parent / USED
        if not table.is_file():
            continue
        with table.open(newline="", encoding="utf-8") as file:
            tested = {row["path"] for row in csv.DictReader(file) if row["task"] == task.name and row["tested"] == "1"}
        for path in sorted(tested):
            found = by_path.get(path)
            if found is None:
                leaks.append(f"{task.name}: tests on {path}, which is not in the manifest: make the tasks again")
            elif found.cluster in heard:
                leaks.append(f"{task.name}: tests on {path}, and the shards hold {heard[found.cluster]}: one recording")
    return leaks


def leaks_by_sound(
    pretraining: Sequence[tuple[str, Fingerprint]], clips: Sequence[tuple[str, Fingerprint]]
) -> list[str]:
    """Find clips of tasks that share audio with the recordings of pretraining."""
    index = Index([one for _, one in pretraining])
    return [
        f"{name}: shares {words} words with {pretraining[found][0]} of the shards ({errors:.0%} of the bits differ)"
        for name, clip in clips
        for found, errors, words in index.search(clip)
    ]


def tested_clips(task: Path) -> list[Path]:
    """List the test clips of a HEAR task: the split "test", or all folds where every fold is tested once.

    Raises:
        AxlstmError: no task, or none of its clips is there.
    """
    metadata = task / "task_metadata.json"
    if not metadata.is_file():
        raise AxlstmError(f"{task}: holds no task_metadata.json; expected the folder of a HEAR task")
    mode = json.loads(metadata.read_text(encoding="utf-8"))["split_mode"]
    folders = sorted(path for path in task.iterdir() if path.is_dir() and path.name.isdigit())
    splits = [
        split
        for folder in folders[:1]  # one rate: the others hold the same clips
        for split in sorted(folder.iterdir())
        if split.is_dir() and (mode != "trainvaltest" or split.name == "test")
    ]
    clips = [clip for split in splits for clip in sorted(split.iterdir()) if clip.suffix.lower() in SOUND]
    if not clips:
        raise AxlstmError(f"{task}: no clips of a test split below {', '.join(map(str, folders)) or 'it'}")
    return clips


def find_leaks(work: Work, shards: Path, tasks: Sequence[Path], report: Report) -> tuple[str, list[str]]:
    """Find all leaks; returns a line about what was checked, and the leaks."""
    rows = read_manifest(work.manifest)
    sources = shard_sources(shards)
    report(f"{len(sources)} recordings are in the shards")
    tasks = [task for path in tasks for task in (find_tasks(path) if any(path.glob(_BELOW)) else [path])]
    leaks = leaks_by_manifest(rows, sources) + leaks_by_use(rows, sources, tasks)
    clips = []
    for task in tasks:
        paths = tested_clips(task)
        report(f"{task}: {len(paths)} clips")
        clips += [(str(path), _fingerprint_of(path)) for path in paths]
    if clips:
        leaks += leaks_by_sound(measured_fingerprints(work, sources & {row.path for row in rows}), clips)
    return f"{len(sources)} recordings of the shards against {len(rows)} of the manifest and {len(clips)} clips", leaks


def _fingerprint_of(clip: Path) -> Fingerprint:
    try:
        return fingerprint_file(clip)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise AxlstmError(f"{clip}: cannot be read ({error})") from error


def measured_fingerprints(work: Work, sources: set[str]) -> list[tuple[str, Fingerprint]]:
    """Read the fingerprints of recordings that fetch measured.

    Raises:
        DataError: a package is not there any more.
    """
    found = []
    for folder in sorted({source.split("/")[1] for source in sources}):
        facts = read_facts(work, folder)
        if facts is None:
            raise DataError(f"{work.of(folder)}: this package was in the manifest, and is gone; fetch it again")
        probes = probe_package(work.of(folder), facts.sha256, work.probes(folder))
        for recording, its_fingerprint in zip(probes.recordings, probes.fingerprints, strict=True):
            path = f"x/{folder}/{recording.path}"
            if path in sources:
                found.append((path, its_fingerprint))
    return found

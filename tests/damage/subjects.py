"""What is read again, kind by kind: how it is made, which of its files are edited, and what reading it gives."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import axlstm
from axlstm.audio.read import load_audio
from axlstm.checkpoints.own import Checkpoint
from axlstm.checkpoints.published import load_published
from axlstm.collection import changes
from axlstm.collection.about import describe_collection
from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.collection import Collection, create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.detections.scores import ScoreFile, write_scores
from axlstm.collection.indexing import IndexSummary
from axlstm.collection.verify import verify
from axlstm.data.config import PrepareConfig
from axlstm.data.index import read_index
from axlstm.data.prepare import prepare
from axlstm.data.reader import CropReader
from axlstm.data.shards import open_shards
from axlstm.data.teachers import Teacher
from axlstm.embed.embedder import Embedder
from axlstm.embed.windows import Windows
from axlstm.errors import AudioError, DataError
from axlstm.evaluate.embedding.encoders import Candidate, load_encoder
from axlstm.evaluate.embedding.packed import read_embeddings
from axlstm.evaluate.embedding.stage import embed_variants
from axlstm.evaluate.pipeline import EvaluationConfig, probe_folders
from axlstm.evaluate.reporting.results import read_results
from axlstm.evaluate.tasks.read import check_task, read_task
from axlstm.model.config import ModelConfig
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.pretrain.config import PretrainLogConfig
from axlstm.pretrain.loop import pretrain
from axlstm.pretrain.stepper import Stepper
from axlstm.store import batch
from axlstm.store.batch import embed_files
from axlstm.store.formats import read_records
from axlstm.teach import teach
from axlstm.training.config import CheckpointConfig
from axlstm.training.metrics import check_metrics, open_sinks, read_metrics
from axlstm.training.position import Position
from axlstm.training.state import claim_workdir, publish, restore_newest
from axlstm.training.world import joined_world
from tests.collection.classifiers.test_classifier import make_classifier
from tests.collection.detections.test_scores import SETTINGS, make_pieces, read_all
from tests.pretrain.runs import small_config
from tests.seeded import audio
from tests.shards.made import write_sound
from tests.store.interrupted import interrupt_at

PLACES: dict[str, Path] = {}
"""What subjects are made from, outside of what is copied and edited."""

TINY = ModelConfig(depth=1, width=16, heads=1, patch_frames=40, patch_bands=40)
GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "published_format_depth1"
TASK = Path(__file__).parents[1] / "data" / "hear" / "embed_stage" / "tasks" / "tinyscene-v1-full"
STUB_TEACHER = Path(__file__).parents[1] / "shards" / "stub_teacher.py"


@dataclass(frozen=True)
class Outcome:
    """What reading gave: ``value``, to be compared, and ``told``, lines beside the log that name what is wrong."""

    value: Any
    told: Sequence[str] = ()


@dataclass(frozen=True)
class Subject:
    """A kind of files.

    Args:
        make: writes them, undamaged, into a folder.
        read: reads them from a folder of that form, as a user would.
        edited: patterns of the files that are edited.
        foreign: patterns of those that hold no checksum: others write them, and another content may be as good.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Outcome]
    edited: tuple[str, ...]
    foreign: tuple[str, ...] = ()

    def files(self, folder: Path) -> list[Path]:
        """The files that are edited."""
        return sorted({path for pattern in self.edited for path in folder.glob(pattern) if path.is_file()})


def _digest(*values: Any) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()


CLIP = audio(0.6, 1)


def _make_model(folder: Path) -> None:
    model = MaskedPatchModel.initialised(TINY, seed=1)
    Checkpoint(model, training={"epochs": 3, "of": [1, 2]}, name="small").save(folder / "model")


def _read_model(folder: Path) -> Outcome:
    embedder = axlstm.load_model(folder / "model", engine=None)  # it is read in forks
    return Outcome(_digest(embedder.embed(CLIP, 16_000).frames, embedder.name, embedder.fingerprint))


def _make_pth(folder: Path) -> None:
    source = next(GOLDEN.glob("axlstm*"))
    shutil.copytree(source, folder / source.name)


def _read_pth(folder: Path) -> Outcome:
    checkpoint = load_published(next(folder.iterdir()))
    weights = [value.numpy() for _, value in sorted(checkpoint.model.state_dict().items())]
    return Outcome(_digest(*weights, checkpoint.training, checkpoint.name, checkpoint.model.config))


def _make_sounds(folder: Path, count: int = 6) -> None:
    for number in range(count):
        write_sound(folder / f"{number:02d}.wav", 0.7 + 0.05 * number, number)


def _prepare(folder: Path, sounds: Path, content: Any = "logmel") -> dict[str, Any]:
    config = PrepareConfig(held_out=0.2, shard_records=2, content=content)
    return prepare([sounds], folder, config, processes=1)


def _make_shards(folder: Path) -> None:
    _make_sounds(folder / "sounds")
    _prepare(folder / "logmel", folder / "sounds")
    _prepare(folder / "audio", folder / "sounds", "audio")


def _read_crops(folder: Path, split: str) -> Outcome:
    shards = open_shards(folder, split)
    if not len(shards):
        return Outcome("empty")
    with closing(CropReader(shards, TINY, seed=0)) as reader:
        got = reader.read(0, np.arange(len(shards)))
    arrays = [part.numpy() for part in got[:5] if hasattr(part, "numpy")]
    return Outcome(_digest(*arrays), got.skipped)


def _read_shards(folder: Path) -> Outcome:
    got = [_read_crops(folder / name, split) for name in ("logmel", "audio") for split in ("train", "valid")]
    return Outcome([one.value for one in got], [line for one in got for line in one.told])


def _make_preparation(folder: Path) -> None:
    PLACES["prepared"] = folder.parent / "sounds"
    _make_sounds(PLACES["prepared"], 5)
    _prepare(folder / "shards", PLACES["prepared"])


def _read_preparation(folder: Path) -> Outcome:
    _prepare(folder / "shards", PLACES["prepared"])
    files = sorted(folder.glob("shards/*.tar")) + sorted(folder.glob("shards/*.npy"))
    return Outcome([_digest(*(file.read_bytes() for file in files)), read_index(folder / "shards")])


_EMBEDDER: list[Embedder] = []


def _embedder() -> Embedder:
    if not _EMBEDDER:
        _EMBEDDER.append(Embedder(Checkpoint(MaskedPatchModel.initialised(TINY, seed=1), name="small")))
    return _EMBEDDER[0]


_BOTH: dict[str, Any] = {"scene": True, "frames": True}
_OUTPUTS: dict[str, dict[str, dict[str, Any]]] = {
    "outputs": {"e.parquet": _BOTH, "e.csv": {}, "f.csv": {"scene": False, "frames": True}, "e.npz": _BOTH},
    "windows": {name: {"windows": Windows(0.5, 0.4)} for name in ("w.parquet", "w.csv", "w.npz")},
}


def _sounds_by_name(kind: str) -> list[Path]:
    return sorted(PLACES[kind].glob("*.wav"))


def _make_outputs(kind: str, folder: Path) -> None:
    """Files of embeddings with more embeddings in parts beside them, left by a run that was interrupted."""
    PLACES[kind] = folder.parent / "sounds"
    _make_sounds(PLACES[kind], 6)
    sounds = _sounds_by_name(kind)
    most, batch._PART_CLIPS = batch._PART_CLIPS, 2
    try:
        for name, kept in _OUTPUTS[kind].items():
            embed_files(_embedder(), sounds[:2], folder / name, **kept)
            try:
                embed_files(_embedder(), sounds[:5], folder / name, **kept, progress=interrupt_at(5))
            except KeyboardInterrupt:
                continue
            raise AssertionError("not interrupted")
    finally:
        batch._PART_CLIPS = most


def _read_outputs(kind: str, folder: Path) -> Outcome:
    values, arrays = [], []
    for name, kept in _OUTPUTS[kind].items():
        embed_files(_embedder(), _sounds_by_name(kind)[:5], folder / name, **kept)
        rows = sorted(read_records(folder / name), key=lambda row: row.path)
        of_rows = ((row.scene, row.frames, row.timestamps_ms, row.start_s, row.end_s) for row in rows)
        arrays += [array for of_row in of_rows for array in of_row if array is not None]
        values.append([[row.path.rpartition("/")[2], row.duration_s, row.origin.digest] for row in rows])
    return Outcome((values, Close(arrays)))


class Close:
    """Arrays that are compared up to rounding, which differs with the clips that are computed together."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Close) or len(self.arrays) != len(other.arrays):
            return False
        pairs = zip(self.arrays, other.arrays, strict=True)
        return all(one.shape == two.shape and np.allclose(one, two, atol=1e-4) for one, two in pairs)

    __hash__ = None  # type: ignore[assignment]


def _make_hear(folder: Path) -> None:
    shutil.copytree(TASK, folder / "tasks" / TASK.name)
    _read_hear(folder)


_CONFIG = EvaluationConfig("knn", 1)


def _read_hear(folder: Path) -> Outcome:
    task = read_task(folder / "tasks" / TASK.name)
    told = check_task(task)
    (where,) = embed_variants([_logmel()], task, folder / "embeddings")
    embedded = read_embeddings(where)
    arrays = [np.asarray(split.embeddings) for split in embedded.splits.values()]
    targets = [split.target for split in embedded.splits.values()]
    failures = probe_folders([where], folder / "results", _CONFIG)
    results = []
    for one in read_results([folder / "results"]):
        parts = [part for part in one.content.values() if isinstance(part, dict)]
        results.append([one.score, one.task, [{k: v for k, v in part.items() if "time" not in k} for part in parts]])
    return Outcome([_digest(*arrays), _digest(*targets), embedded.labels, results], [*told, *failures.values()])


_LOGMEL: list[Any] = []


def _logmel() -> Any:
    if not _LOGMEL:
        _LOGMEL.append(load_encoder(Candidate("logmel").source))
    return _LOGMEL[0]


RUN = small_config(
    3,
    model=TINY,
    checkpoints=CheckpointConfig(every_steps=1, keep_last=3),
    log=PretrainLogConfig(every_steps=1, pictures_every_steps=1000),
)


def _make_run(folder: Path) -> None:
    PLACES["run"] = folder.parent / "shards"
    _make_sounds(folder.parent / "sounds", 12)
    _prepare(PLACES["run"], folder.parent / "sounds")
    pretrain(RUN, PLACES["run"], folder / "run")
    for leftover in ("loss.png", "reconstructions", "lock", "lock.holder", "summary.json"):
        path = folder / "run" / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _read_run(folder: Path) -> Outcome:
    workdir = folder / "run"
    claim_workdir(workdir, RUN, PLACES["run"], open_shards(PLACES["run"]).fingerprint)
    with joined_world("cpu") as world:
        stepper = Stepper(MaskedPatchModel.initialised(RUN.model, RUN.seed), RUN, world, [])
        position = restore_newest(workdir, stepper, Position)
        if position is None:
            return Outcome(None, [f"{workdir}: no checkpoint"])
        publish(workdir, stepper, position, RUN.checkpoints.keep_last)
        for sink in open_sinks(workdir, RUN.log, {}, position.step, None):
            sink.close()
        check_metrics(workdir, position.metrics_bytes)
        metrics = read_metrics(workdir)
        weights = [value.numpy() for value in stepper.model.state_dict().values()]
        moments = [t.numpy() for s in stepper.optimiser.state.values() for t in s.values() if hasattr(t, "numpy")]
        position.train_seconds = 0
        loaded = axlstm.load_model(workdir, engine=None).fingerprint
    return Outcome([_digest(*weights, *moments), repr(position), metrics, loaded])


def _make_tables(folder: Path) -> None:
    """Shards without an index, as others write them; one of two has a table of its records."""
    _make_sounds(folder / "sounds")
    _prepare(folder / "shards", folder / "sounds")
    shutil.rmtree(folder / "sounds")
    for name in ("index.json", "journal.jsonl", "skipped.jsonl", "lock", "lock.holder"):
        (folder / "shards" / name).unlink(missing_ok=True)
    (folder / "bare").mkdir()
    for number, tar in enumerate(sorted((folder / "shards").glob("*.tar"))):
        shutil.copy(tar, folder / "bare" / f"bare-{number}.tar")


def _read_tables(folder: Path) -> Outcome:
    got = [_read_crops(folder / name, "train") for name in ("shards", "bare")]
    return Outcome([one.value for one in got], [line for one in got for line in one.told])


def _make_teacher(folder: Path) -> None:
    PLACES["taught"] = folder.parent / "shards"
    _make_sounds(folder.parent / "sounds", 5)
    _prepare(PLACES["taught"], folder.parent / "sounds")
    teach(PLACES["taught"], str(STUB_TEACHER), folder / "teacher")


def _read_teacher(folder: Path) -> Outcome:
    shards = open_shards(PLACES["taught"])
    told, values = [], []
    with closing(Teacher(folder / "teacher", shards)) as teacher:
        for record in range(len(shards)):
            try:
                values.append(_digest(*teacher.crop(record, 0, 60, TINY)))
            except DataError as error:
                told.append(str(error))
    return Outcome(values, told)


BIRDS = "birds.collection"


def _index(folder: Path) -> tuple[Collection, IndexSummary]:
    collection = open_collection(folder / BIRDS)
    return collection, collection.index([PLACES["indexed"]])


def _make_collection(folder: Path) -> None:
    """A collection with two parts, a removed recording, and labels."""
    PLACES["indexed"] = folder.parent / "sounds"
    model = Checkpoint(MaskedPatchModel.initialised(TINY, seed=1), name="small").save(folder.parent / "model")
    _make_sounds(PLACES["indexed"], 3)
    few, changes._FEW_ROWS = changes._FEW_ROWS, 1
    try:
        create(folder / BIRDS, PLACES["indexed"]).close()
        with open_collection(folder / BIRDS) as collection:
            collection.index([PLACES["indexed"]], model=str(model), window_s=0.4, engine=None)  # it is read in forks
        for number in range(2):
            write_sound(PLACES["indexed"] / f"{number:02d}.wav", 1.0, 60 + number)
            with _index(folder)[0] as collection, collection.transaction():
                values = (number + 1, 0.2, 0.6, "wren", "yes", "me", "a test", "2026-01-01")
                names = "recording, start_s, end_s, label, verdict, author, source, at"
                collection.tables.execute(f"INSERT INTO labels ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    finally:
        changes._FEW_ROWS = few
    for name in ("lock", "lock.holder"):
        (folder / BIRDS / name).unlink(missing_ok=True)


def _read_collection(folder: Path) -> Outcome:
    with open_collection(folder / BIRDS) as collection:
        faults = list(verify(collection))
        summary = collection.index([PLACES["indexed"]])
        told = [*faults, *(reason for _, reason in summary.skipped)]
        entry = collection.encoder()
        recordings = collection.tables.execute("SELECT * FROM recordings ORDER BY path, removed_at IS NULL").fetchall()
        rows = [collection.windows(entry, row["id"]) for row in recordings]
        names = [name for name in tuple(recordings[0].keys()) if name not in ("id", "added_at", "removed_at")]
        facts = [[row[name] for name in names] for row in recordings]
        labels = [tuple(row) for row in collection.tables.execute("SELECT * FROM labels ORDER BY id")]
        arrays = [array for row in rows if row is not None for array in (row.start_s, row.end_s, row.vectors)]
        values = [
            facts,
            labels,
            [row is None for row in rows],
            describe_collection(collection)["encoder model"]["windows"],
        ]
        return Outcome((values, Close([array.astype(np.float64) for array in arrays])), told)


def _make_classifier(folder: Path) -> None:
    make_classifier(hidden=3).save(folder / "wren.model")
    write_scores(folder / "scores.parquet", SETTINGS, make_pieces([5, 1, 3]))


def _read_classifier(folder: Path) -> Outcome:
    classifier = load_classifier(folder / "wren.model")
    scores = ScoreFile(folder / "scores.parquet")
    vectors = np.random.default_rng(0).normal(size=(4, 8))
    blocks = [read_all(scores, rows) for _, rows in scores.recordings]
    known = (classifier.labels, classifier.encoder, classifier.card, scores.settings, scores.recordings)
    return Outcome(_digest(*known, classifier.thresholds, classifier.probabilities(vectors), *map(repr, blocks)))


def _make_sound(folder: Path) -> None:
    samples = audio(0.8, 3, 22_050)
    for name, subtype in (("a.wav", "PCM_16"), ("b.wav", "FLOAT"), ("c.flac", "PCM_16"), ("d.ogg", "VORBIS")):
        soundfile.write(folder / name, samples, 22_050, subtype=subtype)
    soundfile.write(folder / "e.mp3", samples, 22_050)
    soundfile.write(folder / "f.aiff", samples, 22_050)
    soundfile.write(folder / "g.ogg", audio(0.8, 3, 24_000), 24_000, format="OGG", subtype="OPUS")


def _read_sound(folder: Path) -> Outcome:
    values, told = [], []
    for file in sorted(folder.iterdir()):
        try:
            samples = load_audio(file)
        except AudioError as error:
            told.append(str(error))
            continue
        assert np.isfinite(samples).all()
        values.append(_digest(samples))
    return Outcome(values, told)


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("model", _make_model, _read_model, ("model/*",)),
        Subject("pth", _make_pth, _read_pth, ("**/*.pth",)),
        Subject("shards", _make_shards, _read_shards, ("*/*.tar", "*/*.npy", "*/index.json")),
        Subject("preparation", _make_preparation, _read_preparation, ("shards/*.*",), ("shards/skipped.jsonl",)),
        *(
            Subject(
                kind,
                partial(_make_outputs, kind),
                partial(_read_outputs, kind),
                (*outputs, *(f"{name}.parts/*.npz" for name in outputs)),
            )
            for kind, outputs in _OUTPUTS.items()
        ),
        Subject("hear", _make_hear, _read_hear, ("tasks/**/*", "embeddings/**/*", "results/**/*"), ("tasks/*",)),
        Subject("run", _make_run, _read_run, ("run/run.json", "run/metrics.jsonl", "run/checkpoints/*/*")),
        Subject("tables", _make_tables, _read_tables, ("*/*.tar", "*/*.npy"), ("bare/*",)),
        Subject("teacher", _make_teacher, _read_teacher, ("teacher/*.safetensors", "teacher/teacher.json")),
        Subject(
            "collection",
            _make_collection,
            _read_collection,
            (f"{BIRDS}/collection.json", f"{BIRDS}/collection.sqlite", f"{BIRDS}/parts/*"),
            (f"{BIRDS}/collection.sqlite",),  # SQLite keeps no checksums
        ),
        Subject(
            "classifier", _make_classifier, _read_classifier, ("wren.model/*.json", "wren.model/*.safetensors", "*.*")
        ),
        Subject("sound", _make_sound, _read_sound, ("*",), ("*",)),
    )
}

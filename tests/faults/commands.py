"""The commands that write: what they are given, and where their output goes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from axlstm.checkpoints.own import Checkpoint
from axlstm.cli import main
from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.density.plan import read_plan
from axlstm.collection.density.sample import draw_sample
from axlstm.collection.maps.draw import draw_map
from axlstm.collection.search.table import WindowTable
from axlstm.collection.upkeep import remove
from axlstm.model.pretraining import MaskedPatchModel
from tests.collection.detections.made import save_classifier
from tests.faults.harness import Faults
from tests.pretrain.runs import SMALL
from tests.shards.made import write_sound


@dataclass(frozen=True)
class Command:
    """A command, and what it needs before it can run.

    Args:
        arguments: of the inputs' folder and the folder that it writes to.
        before: commands whose output it reads; it is moved to the inputs, ``inputs/NAME``.
        ready: makes more inputs of those, in the inputs' folder.
        start: makes what the folder that it writes to holds before, with commands and the inputs; None if it is empty.
        seconds: of one run, roughly: of slow ones fewer points are tried.
        needs: a module that is not installed with the rest: where it is missing, the command is passed over.
    """

    name: str
    arguments: Callable[[Path, Path], list[str]]
    before: tuple[str, ...] = ()
    ready: Callable[[Path], object] = lambda _: None
    start: Callable[[Faults, Path], None] | None = None
    seconds: float = 0.2
    needs: str = ""

    @property
    def is_possible(self) -> bool:
        """Whether what it needs is installed."""
        return not self.needs or find_spec(self.needs) is not None

    @property
    def thins(self) -> bool:
        """Whether points that are much alike are left out; see `tests.faults.harness.thin`."""
        return self.seconds >= 1

    @property
    def most(self) -> int | None:
        """Points of each kind of fault that a whole trial takes; all of them if None."""
        return None if self.seconds < 10 else 8


def _embed(suffix: str, *more: str) -> Callable[[Path, Path], list[str]]:
    def arguments(inputs: Path, work: Path) -> list[str]:
        return ["embed", str(inputs / "sounds"), "-o", str(work / f"e{suffix}"), "-m", str(inputs / "model"), *more]

    return arguments


def _index(sounds: Path, work: Path, model: Path) -> list[str]:
    return ["index", str(sounds), "-o", str(work / "birds.collection"), "-m", str(model), "--window-s", "1"]


def _detect(out: str, *more: str, scores: str | None = None) -> Callable[[Path, Path], list[str]]:
    def arguments(inputs: Path, work: Path) -> list[str]:
        kept = ["--scores", str(work / scores)] if scores else []
        sounds = [str(inputs / "sounds"), str(inputs / "bad")]
        return ["detect", str(inputs / "wren.model"), *sounds, "-o", str(work / out), *more, *kept]

    return arguments


def _start_changed(faults: Faults, inputs: Path) -> None:
    """Index sounds, and change them: one has other content then, one is elsewhere, one is gone, and one is new."""
    sounds = inputs / "changing"
    for number in range(6):
        write_sound(sounds / f"{number:02d}.wav", 1.3 + 0.3 * number, number)
    faults.record(_index(sounds, faults.work, inputs / "model"))
    write_sound(sounds / "01.wav", 2.0, 50)
    (sounds / "02.wav").rename(sounds / "moved.wav")
    (sounds / "03.wav").unlink()
    write_sound(sounds / "new.wav", 1.0, 51)


def _start_removed(faults: Faults, inputs: Path) -> None:
    """Index sounds with two models, and remove some."""
    with create(faults.work / "birds.collection", inputs / "sounds") as collection:
        collection.index([inputs / "sounds"], model=str(inputs / "model"), window_s=1.0, engine=None)
        collection.index([inputs / "sounds"], model="logmel", window_s=1.0)
        remove(collection, ["03.wav", "07.wav"])


def _start_labelled(faults: Faults, inputs: Path) -> None:
    """Index sounds, and label some of them."""
    with create(faults.work / "birds.collection", inputs / "sounds") as collection:
        collection.index([inputs / "sounds"], model=str(inputs / "model"), window_s=1.0, engine=None)
        for number in range(6):
            collection.label(f"{number:02d}.wav", "ab"[number % 2], 0.5, 1.5, author="ann")


def _start_mapped(faults: Faults, inputs: Path) -> None:
    """Index sounds, label some of them, and draw their map."""
    _start_labelled(faults, inputs)
    with open_collection(faults.work / "birds.collection") as collection:
        draw_map(collection, WindowTable(collection, collection.encoder()))


def _plan_parts(inputs: Path, work: Path) -> list[str]:
    sounds = [str(inputs / "sounds"), str(inputs / "bad")]
    return [
        "embed",
        *sounds,
        "-o",
        str(work / "e"),
        "-m",
        str(inputs / "model"),
        "--part-files",
        "5",
        "--runner",
        "slurm",
    ]


def _start_planned(faults: Faults, inputs: Path) -> None:
    """Plan parts."""
    faults.record(_plan_parts(inputs, faults.work))


def _start_worked(faults: Faults, inputs: Path) -> None:
    """Plan parts and do them."""
    _start_planned(faults, inputs)
    assert main(["work", str(faults.work / "e")]) == 0


def _start_embedded_in_parts(faults: Faults, inputs: Path) -> None:
    """Embed windows of sounds in parts."""
    command = _plan_parts(inputs, faults.work)
    assert main([*command[:-1], "processes", "--workers", "1", "--window-s", "1"]) == 0


def _ready_other(inputs: Path) -> None:
    """Make a collection of other sounds with labels, which is merged into the first."""
    if not (inputs / "other.collection").exists():
        for number in range(4):
            write_sound(inputs / "others" / f"{number}.wav", 1.5, 90 + number)
        with create(inputs / "other.collection", inputs / "others") as collection:
            collection.index([inputs / "others"], model=str(inputs / "model"), window_s=1.0, engine=None)
            collection.label("1.wav", "a", 0.2, 1.0, author="bob")


def _start_judged(faults: Faults, inputs: Path) -> None:
    """Index sounds, draw windows by the scores of a classifier, and say of each whether it is a wren."""
    _start_labelled(faults, inputs)
    with open_collection(faults.work / "birds.collection") as collection:
        sample = faults.work / "wren.density"
        draw_sample(collection, load_classifier(inputs / "wren.model"), sample, "wren", bins=2, per_bin=3)
        for number, window in enumerate(read_plan(sample).windows):
            collection.label(window.path, "wren", window.start_s, window.end_s, verdict=("yes", "no")[number % 2])


def _of_collection(*arguments: str) -> Callable[[Path, Path], list[str]]:
    """Give arguments in which WORK and INPUTS stand for the folders."""
    return lambda inputs, work: [word.replace("WORK", str(work)).replace("INPUTS", str(inputs)) for word in arguments]


_TRAINING = (
    ("--model.depth", 1),
    ("--model.width", 16),
    ("--model.heads", 2),
    ("--model.patch-frames", 20),
    ("--hardware.device", "cpu"),
    ("--hardware.precision", "float32"),
    ("--hardware.threads", 1),
    ("--optimiser.global-batch", 4),
    ("--optimiser.micro-batch", 4),
    ("--schedule.steps", 3),
    ("--schedule.warmup-steps", 1),
    ("--reading.workers", 0),
    ("--validation.every-steps", 1),
    ("--checkpoints.every-steps", 1),
    ("--checkpoints.keep-last", 1),
    ("--log.every-steps", 1),
)

_FINE_TUNING = (
    ("--hardware.device", "cpu"),
    ("--hardware.precision", "float32"),
    ("--hardware.threads", 1),
    ("--optimiser.global-batch", 2),
    ("--optimiser.micro-batch", 2),
    ("--schedule.epochs", 2),
    ("--schedule.warmup-epochs", 1),
    ("--checkpoints.every-steps", 1),
    ("--checkpoints.keep-last", 1),
    ("--log.every-steps", 1),
)

COMMANDS = (
    Command("embed npz", _embed(".npz")),
    Command("embed npz frames", _embed(".npz", "--frames")),
    Command("embed parquet", _embed(".parquet")),
    Command("embed parquet frames", _embed(".parquet", "--frames")),
    Command("embed parquet windows", _embed(".parquet", "--window-s", "1", "--hop-s", "0.5")),
    Command("embed csv", _embed(".csv")),
    Command("embed csv frames", _embed(".csv", "--frames", "--no-scene")),
    Command("embed csv windows", _embed(".csv", "--window-s", "1", "--hop-s", "0.5")),
    Command("embed parts, planned", _plan_parts),
    Command("work", lambda _, work: ["work", str(work / "e")], start=_start_planned),
    Command("collect", lambda _, work: ["collect", str(work / "e")], start=_start_worked),
    Command("index", lambda inputs, work: _index(inputs / "sounds", work, inputs / "model")),
    Command(
        "index again after a change",
        lambda inputs, work: _index(inputs / "changing", work, inputs / "model"),
        start=_start_changed,
    ),
    Command(
        "collection compact",
        lambda _, work: ["collection", "compact", str(work / "birds.collection")],
        start=_start_removed,
    ),
    Command("detect", _detect("found.csv")),
    Command("detect audacity", _detect("tracks", "--format", "audacity")),
    Command("detect scores", _detect("found.parquet", scores="scores.parquet")),
    Command(
        "collection remove",
        _of_collection("collection", "remove", "WORK/birds.collection", "03.wav", "07.wav"),
        start=_start_labelled,
    ),
    Command(
        "collection merge",
        _of_collection("collection", "merge", "WORK/birds.collection", "INPUTS/other.collection"),
        ready=_ready_other,
        start=_start_labelled,
    ),
    Command(
        "collection export",
        _of_collection("collection", "export", "WORK/birds.collection", "-o", "WORK/windows.parquet"),
        start=_start_labelled,
    ),
    *(
        Command(
            f"collection export {format}",
            _of_collection("collection", "export", "WORK/birds.collection", "-o", "WORK/theirs", "-f", format),
            start=_start_labelled,
            seconds=3.0,
            needs=module,
        )
        for format, module in (("lancedb", "lancedb"), ("hoplite", "perch_hoplite"))
    ),
    Command(
        "collection export parts",
        _of_collection("collection", "export", "WORK/e", "-o", "WORK/theirs", "-f", "lancedb"),
        start=_start_embedded_in_parts,
        seconds=3.0,
        needs="lancedb",
    ),
    Command(
        "collection map",
        _of_collection("collection", "map", "WORK/birds.collection"),
        start=_start_labelled,
        seconds=0.5,
    ),
    Command(
        "explore export",
        _of_collection("explore", "WORK/birds.collection", "--export", "WORK/birds.html"),
        start=_start_mapped,
        seconds=0.5,
    ),
    Command(
        "search csv and clips",
        _of_collection(
            *("search", "WORK/birds.collection", "02.wav@0.5-1.5", "-k", "3", "-o", "WORK/hits.csv"),
            *("--clips", "WORK/clips"),
        ),
        start=_start_labelled,
    ),
    Command(
        "train",
        _of_collection(
            *("train", "WORK/birds.collection", "--label", "a,b", "--mode", "multiclass", "-o", "WORK/ab.model"),
        ),
        start=_start_labelled,
        seconds=4.0,
    ),
    Command(
        "suggest csv and clips",
        _of_collection(
            *("suggest", "WORK/birds.collection", "--label", "a", "-k", "3", "-o", "WORK/next.csv"),
            *("--clips", "WORK/next"),
        ),
        start=_start_labelled,
    ),
    Command(
        "density sample",
        _of_collection(
            *("density", "sample", "INPUTS/wren.model", "WORK/birds.collection", "--label", "wren", "--per-bin", "2"),
            *("--clips", "-o", "WORK/wren.density"),
        ),
        start=_start_labelled,
    ),
    Command(
        "collection relocate",
        _of_collection("collection", "relocate", "WORK/birds.collection", "INPUTS/sounds"),
        start=_start_labelled,
    ),
    Command(
        "label add",
        _of_collection("label", "add", "WORK/birds.collection", "02.wav@0.5-1.5", "song", "--author", "ann"),
        start=_start_labelled,
    ),
    Command(
        "label import",
        _of_collection("label", "import", "WORK/birds.collection", "INPUTS/labels.csv"),
        start=_start_labelled,
    ),
    *(
        Command(
            f"label export {kind}",
            _of_collection("label", "export", "WORK/birds.collection", "-o", f"WORK/{out}", "--format", kind),
            start=_start_labelled,
        )
        for kind, out in (
            *(("csv", "labels.csv"), ("kaleidoscope", "labels.csv"), ("hear", "labels.csv")),
            *(("raven", "labels.txt"), ("audacity", "tracks"), ("folders", "by-label")),
        )
    ),
    Command(
        "label undo",
        _of_collection("label", "undo", "WORK/birds.collection", "3"),
        start=_start_labelled,
    ),
    Command(
        "density estimate",
        _of_collection(
            *("density", "estimate", "INPUTS/wren.model", "WORK/birds.collection", "WORK/wren.density"),
            *("-o", "WORK/density.csv"),
        ),
        start=_start_judged,
    ),
    Command(
        "prepare",
        lambda inputs, work: [
            "prepare",
            str(inputs / "sounds"),
            str(inputs / "bad"),
            str(work / "shards"),
            *("--held-out", "0.3", "--shard-records", "3", "--processes", "1"),
            *("--content", "logmel"),
        ],
    ),
    Command(
        "prepare by two",
        lambda inputs, work: [
            "prepare",
            str(inputs / "sounds"),
            str(work / "shards"),
            *("--held-out", "0.3", "--shard-records", "3", "--processes", "2"),
        ],
        seconds=10.0,  # two workers start anew; its points are those of prepare
    ),
    Command(
        "pretrain",
        lambda inputs, work: [
            *("pretrain", "axlstm-tiny", "--data", str(inputs / "prepare" / "shards"), "--workdir", str(work / "run")),
            *(str(word) for pair in _TRAINING for word in pair),
        ],
        ("prepare",),
        seconds=1.5,
    ),
    Command(
        "teach",
        lambda inputs, work: [
            *("teach", str(inputs / "prepare" / "shards"), "--with", str(inputs / "model")),
            *("-o", str(work / "teacher")),
        ],
        ("prepare",),
    ),
    Command(
        "hear make",
        lambda inputs, work: ["hear", "make", str(inputs / "table.csv"), str(work / "tasks"), "--duration-s", "0.5"],
    ),
    Command(
        "hear make events",
        lambda inputs, work: ["hear", "make", str(inputs / "events.csv"), str(work / "tasks")],
    ),
    Command(
        "hear embed",
        lambda inputs, work: [
            *("hear", "embed", str(inputs / "model"), str(inputs / "hear make" / "tasks"), str(work / "embeddings"))
        ],
        ("hear make",),
    ),
    Command(
        "hear embed events",
        lambda inputs, work: [
            *("hear", "embed", str(inputs / "model"), str(inputs / "hear make events" / "tasks")),
            str(work / "embeddings"),
        ],
        ("hear make events",),
    ),
    Command(
        "hear probe",
        lambda inputs, work: [
            *("hear", "probe", str(inputs / "hear embed" / "embeddings"), "-o", str(work / "results")),
            *("--protocol", "knn"),
        ],
        ("hear make", "hear embed"),
    ),
    Command(
        "hear report",
        lambda inputs, work: ["hear", "report", str(inputs / "hear probe" / "results"), "-o", str(work / "report")],
        ("hear make", "hear embed", "hear probe"),
    ),
    Command(
        "evaluate",
        lambda inputs, work: [
            *("evaluate", str(inputs / "model"), "--tasks", str(inputs / "hear make" / "tasks")),
            *("-o", str(work / "out"), "--protocol", "knn"),
        ],
        ("hear make",),
    ),
    Command(
        "hear check --unpack",
        lambda inputs, work: ["hear", "check", str(inputs / "release.tar"), "--unpack", str(work / "unpacked")],
        ("hear make",),
        lambda inputs: shutil.make_archive(str(inputs / "release"), "tar", inputs / "hear make"),
    ),
    Command(
        "finetune",
        lambda inputs, work: [
            *("finetune", str(inputs / "model"), "--data", str(inputs / "table.csv"), "-o", str(work / "run")),
            *(str(word) for pair in _FINE_TUNING for word in pair),
        ],
        seconds=4.0,
    ),
    Command("convert", lambda inputs, work: ["convert", str(inputs / "model.pth"), str(work / "converted")]),
    *(
        Command(
            name,
            lambda inputs, work, name=name: [
                *(name, str(inputs / "sounds" / "00.wav"), "-o", str(work / "picture.png"), "-m", str(inputs / "model"))
            ],
        )
        for name in ("plot", "reconstruct")
    ),
    Command(
        "demo",
        lambda inputs, work: ["demo", "-o", str(work / "demo"), "-m", str(inputs / "model"), "--steps", "2"],
        seconds=20.0,
    ),
    *(
        Command(
            f"export {kind}",
            lambda inputs, work, kind=kind, suffix=suffix: [
                *("export", str(inputs / "model"), str(work / f"model{suffix}"), "-f", kind)
            ],
            seconds=8.0,
        )
        for kind, suffix in (("onnx", ".onnx"), ("openvino", ".xml"), ("torch-export", ".pt2"))
    ),
    Command(
        "export classifier onnx",
        lambda inputs, work: ["export", str(inputs / "wren.model"), str(work / "wren.onnx"), "-f", "onnx"],
        seconds=8.0,
    ),
)

BY_NAME = {command.name: command for command in COMMANDS}


def make_inputs(folder: Path) -> None:
    """Write sounds, a model in both formats, and the tables of two tasks."""
    for number in range(12):
        write_sound(folder / "sounds" / f"{number:02d}.wav", 2.0 + 0.13 * (number % 3), number)
    (folder / "bad").mkdir()
    (folder / "bad" / "text.wav").write_bytes(b"this is no sound")
    model = MaskedPatchModel.initialised(SMALL, 0)
    Checkpoint(model, name="model").save(folder / "model")
    save_classifier(folder / "wren.model", str(folder / "model"), engine=None)  # commands run in forks
    torch.save(model.state_dict(), folder / "model.pth")
    (folder / "labels.csv").write_text("path,label,start_s,end_s\n03.wav,a,0.1,0.9\n04.wav,b,0.2,1.2\n")
    splits = ("train", "valid", "test")
    rows = [
        {"path": f"sounds/{n:02d}.wav", "label": "ab"[n % 2], "split": splits[(n // 2) % 3], "start_ms": 100 * n % 700}
        for n in range(12)
    ]
    for name, columns in (("table.csv", ["path", "label", "split"]), ("events.csv", [*rows[0], "end_ms"])):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**row, "end_ms": row["start_ms"] + 300} for row in rows)


def make_ready(command: Command, faults: Faults, inputs: Path) -> Path | None:
    """Run what a command needs the output of, once; returns the folder that its own begins as, if it is not empty."""
    for name in command.before:
        if not (inputs / name).exists():
            faults.record(BY_NAME[name].arguments(inputs, faults.work))
            shutil.move(faults.work, inputs / name)
    command.ready(inputs)
    if command.start is None:
        return None
    start = inputs / f"before {command.name}"
    if not start.exists():
        shutil.rmtree(faults.work, ignore_errors=True)
        command.start(faults, inputs)
        shutil.move(faults.work, start)
    return start

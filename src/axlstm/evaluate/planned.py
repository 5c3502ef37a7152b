"""Embed tasks in parts: workers embed clips into files, and one process puts these into embeddings directories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.errors import ConfigError, describe_error
from axlstm.evaluate.embedding.encoders import Candidate, Encoder, load_variants
from axlstm.evaluate.embedding.stage import embed_clips, holds_clip, keep_embedding, note_model, read_clip
from axlstm.evaluate.pipeline import choose_models, embed_models, going_on, group_candidates
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import Task, find_tasks, read_task
from axlstm.files import readable_name
from axlstm.parts.accounts import rows_name
from axlstm.parts.drive import take_plan
from axlstm.parts.entries import Entry, describe_file
from axlstm.parts.folders import Folder
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits, Plan, read_plan
from axlstm.parts.row_file import RowFile, opened_rows
from axlstm.parts.run import GatheredWork, Tally
from axlstm.store.dataset import refuse_other_weights

_BATCH_SECONDS = 84.0  # of sound that is embedded together
_GROUP_CLIPS = 256


def plan_hear(
    source: str,
    tasks: Path,
    out: Path,
    place: str,
    limits: Limits,
    *,
    name: str = "",
    pooling: Sequence[str] = ("mean",),
    revision: str | None = None,
    **options: Any,
) -> tuple[Folder, Plan]:
    """Plan the parts of what `axlstm.evaluate.pipeline.embed_models` does with a model, or take the plan that is there.

    Args:
        source, name, pooling, revision, options: of the model, as `axlstm.evaluate.pipeline.choose_models` takes them.
        tasks: a task or a folder of tasks, which workers need too.
        out: folder of embeddings.
        place: a folder for the parts, or the URL of one.

    Raises:
        ConfigError, TaskError: as ``embed_models``; or the parts were planned otherwise.
        AxlstmError: the model cannot be loaded, or the plan cannot be written.
    """
    if options.get("engine") == "processes":
        raise ConfigError("engine='processes': parts have processes of their own; leave the engine out")
    head, at, weights = source.partition("@")
    job: dict[str, Any] = {
        "command": "hear embed",
        "out": str(out.absolute()),
        "tasks": str(tasks.absolute()),
        "model": {
            "sources": [f"{_lasting(head)}{at}{_lasting(weights) if weights else ''}"],
            "name": name,
            "poolings": list(pooling),
            "revision": revision,
        },
        "options": {**options, "device": str(options.get("device", "cpu")), "layers": _listed(options.get("layers"))},
    }

    folder, encoders = open_folder(place), list[Encoder]()
    if (there := read_plan(folder)) is not None:  # whoever goes on with it does so in its engine, with its weights
        if options.get("engine", "auto") == "auto":
            job["options"]["engine"] = there.job.get("options", {}).get("engine")
        job["fingerprints"] = there.job.get("fingerprints")
    else:
        encoders = load_variants(_candidates(job), job["options"]["device"])
        if options.get("engine", "auto") == "auto":  # what it is here is that of all workers, wherever they are
            encoders = going_on(encoders, out)
            job["options"]["engine"] = getattr(encoders[0].model, "engine", "auto")
        job["fingerprints"] = [_fingerprint(encoder) for encoder in encoders]

    def listed() -> tuple[Iterable[Entry], Mapping[str, int]]:
        for encoder in encoders:
            note_model(encoder, out)
        return _clips(find_tasks(tasks), encoders, out), {}

    return folder, take_plan(folder, job, [str(tasks)], limits, listed)


def _fingerprint(encoder: Encoder) -> str | None:
    """Return the fingerprint of a model; modules of others have none."""
    found = getattr(encoder.model, "fingerprint", None)
    return found if isinstance(found, str) else None


def _listed(layers: Any) -> Any:
    return list(layers) if isinstance(layers, Sequence) else layers


def _lasting(name: str) -> str:
    return str(Path(name).absolute()) if Path(name).exists() else name


def _candidates(job: Mapping[str, Any]) -> list[Candidate]:
    """Return the candidates of a job, which share a run of the encoder."""
    (group,) = group_candidates(choose_models(**job["model"], **job["options"]), job["options"]["device"])
    return group


def _clips(paths: Iterable[Path], encoders: Sequence[Encoder], out: Path) -> Iterator[Entry]:
    """List the clips of tasks; a task that cannot be read is told when all parts are done, as without parts."""
    for path in paths:
        with suppress(TaskError):
            task = read_task(path)
            folders = [out / encoder.name / path.name for encoder in encoders]
            for split in task.metadata.splits:
                audio = task.audio_folder(split, encoders[0].sample_rate)
                for file in task.splits[split]:
                    entry = describe_file(audio / file)
                    is_event = task.metadata.is_event
                    is_there = all(holds_clip(folder / split, audio / file, is_event) for folder in folders)
                    about = json.dumps({"task": str(path.absolute()), "split": split, "file": file})
                    yield Entry(entry.path, entry.size_bytes, entry.stamp, there=is_there, about=about)


@dataclass(frozen=True)
class _Clip:
    """A clip with its embedding ``(D,)``, or ``(T, D)`` and T times in ms for events."""

    task: str
    split: str
    file: str
    embedding: NDArray[np.float32]
    times_ms: list[float] | None


class HearParts(GatheredWork):
    """Embeds clips of tasks.

    Args:
        plan: made by `plan_hear`.

    Raises:
        ConfigError: the model is not the one that the parts were planned with.
        AxlstmError: it cannot be loaded.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.encoders = load_variants(_candidates(plan.job), plan.job["options"]["device"])
        for encoder, planned in zip(self.encoders, plan.job.get("fingerprints") or [""], strict=False):
            refuse_other_weights(encoder.name, str(planned), str(_fingerprint(encoder)))

    def write(self, entries: Sequence[Entry], path: Path) -> Tally:
        tally = Tally()
        with RowFile(path, _schema(), _GROUP_CLIPS * len(self.encoders)) as file:
            for (name, split), clips in groupby(entries, key=lambda entry: _of_task(entry)):
                for row in self._embed(read_task(name), split, list(clips), tally):
                    file.add_row(row)
        return tally

    def _embed(self, task: Task, split: str, entries: Sequence[Entry], tally: Tally) -> Iterator[dict[str, Any]]:
        """Embed clips of a split. What fails is left out, and tried once more when the parts are gathered."""
        rate, is_event = self.encoders[0].sample_rate, task.metadata.is_event
        read: list[tuple[Entry, NDArray[np.float32]]] = []
        for entry in entries:
            try:
                read.append((entry, read_clip(Path(self.plan.base, entry.path), rate)))
            except TaskError as error:
                tally.skipped.append((readable_name(entry.path), str(error)))
        for length, run in groupby(read, key=lambda clip: len(clip[1])):
            clips, most = list(run), max(1, int(_BATCH_SECONDS * rate) // length)
            for first in range(0, len(clips), most):
                yield from self._embed_batch(task, split, is_event, clips[first : first + most], tally)

    def _embed_batch(
        self,
        task: Task,
        split: str,
        is_event: bool,
        clips: Sequence[tuple[Entry, NDArray[np.float32]]],
        tally: Tally,
    ) -> Iterator[dict[str, Any]]:
        audio = torch.from_numpy(np.stack([samples for _, samples in clips]))
        try:
            embedded = embed_clips(self.encoders, is_event, audio)
        except Exception as error:  # a module of somebody else's can raise anything
            if len(clips) > 1:
                for clip in clips:
                    yield from self._embed_batch(task, split, is_event, [clip], tally)
            else:
                reason = f"the model failed: {describe_error(error)}"
                tally.skipped.append((readable_name(clips[0][0].path), reason))
            return
        for number, (entry, samples) in enumerate(clips):
            file = json.loads(entry.about)["file"]
            for encoder, of_clips in zip(self.encoders, embedded, strict=True):
                embedding, times_ms = of_clips[number]
                values = np.ascontiguousarray(embedding, dtype=np.float32)
                yield {
                    **{"model": encoder.name, "task": str(task.path), "split": split, "file": file},
                    **{"shape": list(values.shape), "embedding": values.tobytes(), "times_ms": times_ms},
                }
            tally.embedded += 1
            tally.rows += 1
            tally.audio_s += len(samples) / self.encoders[0].sample_rate

    @classmethod
    def gather(cls, folder: Folder, plan: Plan) -> dict[str, str]:
        """Put the embeddings of all parts into their directories, and embed what is missing there.

        Returns:
            the reasons of failures, by ``MODEL`` or ``MODEL on TASK``.
        """
        job, out = plan.job, Path(plan.job["out"])
        tasks: dict[str, Task] = {}
        for part in range(plan.parts):
            planned = {_key(entry): entry for entry in plan.read_entries(folder, part) if not entry.there}
            with folder.at_hand([rows_name(part)]) as here:
                for model, clip in _read(here / rows_name(part)):
                    entry = planned[clip.task, clip.split, clip.file]
                    now = describe_file(Path(plan.base, entry.path))
                    if (now.size_bytes, now.stamp) != (entry.size_bytes, entry.stamp):
                        continue  # it is embedded again below
                    if clip.task not in tasks:
                        tasks[clip.task] = read_task(clip.task)
                    directory = out / model / Path(clip.task).name
                    keep_embedding(tasks[clip.task], directory, clip.split, clip.file, clip.embedding, clip.times_ms)
        models = choose_models(**job["model"], **job["options"])
        return embed_models(models, job["tasks"], out, job["options"]["device"])[1]


def _of_task(entry: Entry) -> tuple[str, str]:
    return _key(entry)[:2]


def _key(entry: Entry) -> tuple[str, str, str]:
    about = json.loads(entry.about)
    return about["task"], about["split"], about["file"]


def _schema() -> Any:
    import pyarrow as pa

    fields = [(name, pa.string()) for name in ("model", "task", "split", "file")]
    fields += [("shape", pa.list_(pa.int64())), ("embedding", pa.binary()), ("times_ms", pa.list_(pa.float64()))]
    return pa.schema(fields)


def _read(path: Path) -> Iterator[tuple[str, _Clip]]:
    """Read the embeddings of a part, with the name of the model of each.

    Raises:
        DamageError: another file, or a damaged one.
    """
    with opened_rows(path, "embeddings", _schema()) as file:
        for batch in file.iter_batches(_GROUP_CLIPS):
            for row in batch.to_pylist():
                embedding = np.frombuffer(row["embedding"], dtype=np.float32).reshape(row["shape"])
                yield row["model"], _Clip(row["task"], row["split"], row["file"], embedding, row["times_ms"])

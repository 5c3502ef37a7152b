"""Read the labels of HEAR tasks whose clips are recordings of a collection."""

from __future__ import annotations

from pathlib import Path

from axlstm.audio.resample import SAMPLE_RATE_HZ
from axlstm.collection.labels.marks import Mark, Reading
from axlstm.errors import DataError
from axlstm.evaluate.scoring.events import Event
from axlstm.evaluate.tasks.metadata import TaskError
from axlstm.evaluate.tasks.read import find_tasks, read_task


def is_task(folder: Path) -> bool:
    """Tell whether a folder is a HEAR task, or holds some."""
    try:
        return bool(find_tasks(folder))
    except TaskError:
        return False


def read_hear(folder: Path) -> Reading:
    """Read the labels of all clips of the tasks in a folder; the faults' lines count the clips.

    A clip is named by its path in the task. In a task of clips (scenes) a label is of all of its clip.

    Raises:
        DataError: a task that cannot be read.
    """
    reading = Reading(folder)
    number = 0
    try:
        tasks = [read_task(path) for path in find_tasks(folder)]
    except TaskError as error:
        raise DataError(str(error)) from error
    for task in tasks:
        for split, content in task.splits.items():
            for file, found in content.items():
                number += 1
                clip = str((task.audio_folder(split, SAMPLE_RATE_HZ) / file).absolute())
                if not found:
                    reading.passed["clips without a label"] += 1
                for one in found:
                    if task.metadata.is_event:
                        event = Event.from_dict(one)
                        times = (event.start_ms / 1000, event.end_ms / 1000)
                        reading.add(Mark(number, clip, *times, event.label))
                    else:
                        reading.add(Mark(number, clip, None, None, str(one)))
    return reading

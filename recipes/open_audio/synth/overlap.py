"""Find what rendered sound shares with what the tasks test on: words, and sound that is the same."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from axlstm.evaluate.tasks.read import find_tasks
from recipes.open_audio.leaks import leaks_by_sound, tested_clips
from recipes.open_audio.probe import fingerprint_file
from recipes.open_audio.synth.render import FOLDER

TASKS = ("keyword_words-v1-full", "keyword_phrases-v1-full")
_SHORTEST = 3  # letters; shorter parts of labels are abbreviations


def find_overlap(work: Path) -> dict[str, tuple[set[str], set[str]]]:
    """Return the words of each keyword task's labels that were spoken, and all of its words.

    Labels are names of sound files. A label such as ``yessir`` counts as one word.
    """
    spoken = {
        word.lower()
        for path in sorted((work / FOLDER / "speech").glob("*.json"))
        for part in json.loads(path.read_text(encoding="utf-8"))["text"]
        for word in part.split()
    }
    found = {}
    for task in TASKS:
        with (work / "tasks" / task / "labelvocabulary.csv").open(newline="", encoding="utf-8") as stream:
            words = {word for row in csv.DictReader(stream) for word in words_of(row["label"])}
        found[task] = (words & spoken, words)
    return found


def find_copies(work: Path) -> tuple[int, list[str]]:
    """Look up the fingerprints of all test clips among those of the rendered recordings.

    Returns:
        The number of clips, and a line for each that shares sound with a rendered recording.
    """
    clips = [path for task in find_tasks(work / "tasks") for path in tested_clips(task)]
    rendered = sorted((work / FOLDER).glob("*/*.flac"))
    prints = [[(str(path), fingerprint_file(path)) for path in paths] for paths in (rendered, clips)]
    return len(clips), leaks_by_sound(*prints)


def words_of(label: str) -> set[str]:
    """Split a label into words of three letters or more, in lower case."""
    return {word for word in re.findall(r"[^\W\d_]+", label.lower()) if len(word) >= _SHORTEST}

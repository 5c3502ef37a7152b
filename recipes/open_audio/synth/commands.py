"""Run the commands of rendered sound: synth, synth-check."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from axlstm.locks import locked
from axlstm.model.config import ModelConfig
from recipes.open_audio.synth.learnable import check_learnable
from recipes.open_audio.synth.overlap import find_copies, find_overlap
from recipes.open_audio.synth.render import FOLDER, SynthConfig
from recipes.open_audio.synth.shards import write_synth_shards
from recipes.open_audio.synth.teaching import SHARDS, TARGETS, teach_labels

_CONFIG = SynthConfig()


def synth(
    work: Path,
    speech_hours: float = _CONFIG.speech_hours,
    note_hours: float = _CONFIG.note_hours,
    seed: int = _CONFIG.seed,
) -> int:
    """Render speech and notes with their labels into WORK/synth, and make shards of them, WORK/synth_shards.

    The same command resumes an interrupted run.

    Args:
        work: folder that fetch has worked in, for the SoundFonts.
        speech_hours: of speech.
        note_hours: of melodies.
        seed: decides texts, voices and melodies.
    """
    config = SynthConfig(speech_hours=speech_hours, note_hours=note_hours, seed=seed)
    with locked(work / FOLDER):
        index = write_synth_shards(work, config, _report)
    for split, content in index["splits"].items():
        print(f"{split:6} {content['records']:6} records  {content['hours']:6.2f} h  {len(content['shards'])} shards")
    for reason, count in sorted(index["skipped"].items()):
        print(f"skipped {count:6} {reason}")
    return 0


def synth_check(work: Path) -> int:
    """Check that the labels of rendered sound can be learnt, and what it shares with the tasks: words, and sound.

    The exit status is 1 if a test clip shares sound.

    Args:
        work: folder that fetch, tasks and synth have worked in.
    """
    taught = work / FOLDER / "targets"
    teach_labels(work, work / SHARDS, taught)
    print("| targets | size | frames | ridge regression | the mean | targets of others |\n|---|---|---|---|---|---|")
    for name, (size, _) in TARGETS.items():
        learnt = check_learnable(work / SHARDS, taught / name, ModelConfig())
        losses = " | ".join(f"{loss:.2f}" for loss in (learnt.regression, learnt.mean, learnt.shuffled))
        print(f"| {name} | {size} | {learnt.frames} | {losses} |")
    for task, (spoken, words) in find_overlap(work).items():
        print(f"{task}: {len(spoken)} of {len(words)} words were spoken: {', '.join(sorted(spoken))}")
    clips, copies = find_copies(work)
    for line in copies:
        print(line)
    print(f"{len(copies)} of {clips} test clips share sound with what was rendered")
    return 1 if copies else 0


def _report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

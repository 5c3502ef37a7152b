"""Plan how many people speak at once: mixtures of one to five voices over a background, and the background alone.

Made as LibriCount is (F.-R. Stöter et al., "CountNet: Estimating the number of concurrent speakers using supervised
learning", IEEE/ACM TASLP 27, 2019): clips of five seconds, every voice speaks all the time. What differs: the voices
are prompts, words and syllables, one after another, and every clip has a background, so that silence tells nothing.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable

from recipes.open_audio.manifest import Row
from recipes.open_audio.tasks.beds import split_beds
from recipes.open_audio.tasks.language import NO_SPEECH, joined
from recipes.open_audio.tasks.plan import TEST, TRAIN, VALID, Clip, Piece, TaskPlan, Track, of_one_group
from recipes.open_audio.tasks.recordings import MissingError, Recordings
from recipes.open_audio.tasks.render import Renderer

PACKAGES: dict[str, tuple[str, ...]] = {
    TRAIN: ("tuxpaint-stamps-default", "fillets-ng-data-cs", "fillets-ng-data-nl", "festvox-ru", "gcin-voice"),
    VALID: ("kajongg", "asterisk-prompt-it-menardi-wav", "asterisk-prompt-es-co", "asterisk-prompt-fr-armelle"),
    TEST: (
        "asterisk-core-sounds-en-g722",
        "asterisk-core-sounds-fr-g722",
        "asterisk-core-sounds-es-g722",
        "asterisk-core-sounds-it-g722",
        "asterisk-core-sounds-ru-g722",
        "klettres-data",
        "ktuberling-data",
    ),
}
"""Whose voices speak in which split."""

VOLUNTEERS = ("klettres-data", "ktuberling-data")
"""One language of these is taken for one voice. One person may have spoken for both: they are on one side, and a
mixture takes a language from one of them at most."""

MOST_SPEAKERS = 5
CLIPS = {TRAIN: 80, VALID: 24, TEST: 40}  # of every count
DURATION_S = 5.0
_BED_DB = -50.0
_VOICE_DB = (-28.0, -22.0)


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task: counts from 0 to 5, equally many clips of each."""
    del renderer  # durations and paths say everything
    beds = split_beds(recordings)
    side_of = {row.path: split for split, packages in PACKAGES.items() for row in recordings.of(*packages)}
    rows = of_one_group([recordings.by_path[path] for path in side_of], side_of)
    clips = []
    for split in PACKAGES:
        voices = find_voices([row for row in rows if side_of[row.path] == split])
        draw = random.Random(f"speaker count {split}")
        for count in range(MOST_SPEAKERS + 1):
            for number in range(CLIPS[split]):
                bed = draw.choice(beds[split])
                tracks = [Track((_part(bed, DURATION_S, draw),), loops=True, level_db=_BED_DB)]
                for language in draw.sample(sorted(voices), count):
                    sources = draw.choice(voices[language])
                    level = round(draw.uniform(*_VOICE_DB), 2)
                    tracks.append(Track(sources, length_s=DURATION_S, level_db=level))
                clips.append(Clip(f"{split}-{count}-{number:03d}", split, (), tuple(tracks), (str(count),)))
    groups = {row.path: f"{row.group} {row.language}".strip() for row in recordings.all()}
    clips = [_with_groups(clip, groups) for clip in clips]
    return TaskPlan(
        "speaker_count", "0 to 5 voices at once", "voice and background", DURATION_S, ("top1_acc", "mAP"), tuple(clips)
    )


def find_voices(rows: Iterable[Row]) -> dict[str, list[tuple[Piece, ...]]]:
    """Find sequences of each voice's recordings that fill a clip, by the voice's name.

    Raises:
        MissingError: there are fewer voices than a clip may have.
    """
    rows_of: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.kind == "speech" and row.language and not re.search(NO_SPEECH, row.label):
            one = f"{row.group} {row.language}"
            rows_of[f"volunteers {row.language}" if row.package in VOLUNTEERS else one][one].append(row)
    voices = {
        voice: [pieces for one, its in sorted(of.items()) for pieces in joined(its, DURATION_S, DURATION_S, one)]
        for voice, of in sorted(rows_of.items())
    }
    voices = {voice: sequences for voice, sequences in voices.items() if sequences}
    if len(voices) < MOST_SPEAKERS:
        raise MissingError(f"needs {MOST_SPEAKERS} voices that speak for {DURATION_S:g} s, found {len(voices)}")
    return voices


def _part(row: Row, seconds: float, draw: random.Random) -> Piece:
    """Take a part of a recording, or all of a short one."""
    start = round(draw.uniform(0.0, max(0.0, row.duration_s - seconds)), 2)
    return Piece(row.path, start, min(row.duration_s, start + seconds))


def _with_groups(clip: Clip, groups: dict[str, str]) -> Clip:
    named = tuple(sorted({groups[source.path] for source in clip.sources()}))
    return Clip(clip.name, clip.split, named, clip.tracks, clip.labels)

"""Plan sound events with their times: recorded events on recorded backgrounds, packages of both held out.

After DCASE 2016 task 2, whose scenes are made in the same way (A. Mesaros et al., "Detection and classification of
acoustic scenes and events: outcome of the DCASE 2016 challenge", IEEE/ACM TASLP 26, 2018).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict

from axlstm.evaluate.scoring.events import Event
from recipes.open_audio.manifest import Row
from recipes.open_audio.reserved import is_reserved
from recipes.open_audio.tasks.beds import find_beds
from recipes.open_audio.tasks.environment import choose
from recipes.open_audio.tasks.plan import TEST, TRAIN, VALID, Clip, Piece, TaskPlan, Track, balanced_groups
from recipes.open_audio.tasks.recordings import MissingError, Recordings
from recipes.open_audio.tasks.render import Renderer

CLASSES = ("bird", "breaking", "explosion", "footsteps", "hoofed animal", "metal", "predator")
"""Of the environmental sounds those that begin and end."""

SCENES = {TRAIN: 84, VALID: 26, TEST: 40}
SHARES = {TRAIN: 0.5, VALID: 0.2, TEST: 0.3}
DURATION_S = 10.0
LEAST_S, MOST_S = 0.3, 3.0  # of an event
_EVENTS = (3, 6)  # in a scene
_GAP_S = 0.3  # between two events of one class
_BED_DB = -40.0
_ABOVE_BED_DB = (10.0, 24.0)
_TRIES = 50


def plan(recordings: Recordings, renderer: Renderer) -> TaskPlan:
    """Plan the task: scenes of ten seconds with three to six events each.

    Raises:
        MissingError: a split has no background, or no event of some class.
    """
    events = [(row, label) for row, label in choose(recordings) if label in CLASSES]
    beds = find_beds(recordings)
    split_of = _split(events, beds)
    heard: dict[str, dict[str, list[Piece]]] = {split: defaultdict(list) for split in SCENES}
    package = {}
    for row, label in events:
        start, end = renderer.sounding(row.path)
        if end - start >= LEAST_S:
            heard[split_of[row.package]][label].append(Piece(row.path, start, min(end, start + MOST_S)))
            package[row.path] = row.package
    clips = []
    for split, count in SCENES.items():
        its_beds = [row for row in beds if split_of[row.package] == split]
        absent = [label for label in CLASSES if not heard[split][label]] + ([] if its_beds else ["background"])
        if absent:
            raise MissingError(f"needs packages with {absent[0]} for {split}: fetch more packages")
        package |= {row.path: row.package for row in its_beds}
        draw = random.Random(f"scenes {split}")
        for number in range(count):
            clips.append(_scene(f"{split}-{number:03d}", split, draw.choice(its_beds), heard[split], draw, package))
    scores = ("event_onset_200ms_fms", "segment_1s_er")
    about = "events on backgrounds, with their times"
    return TaskPlan("sound_events", about, "package of events and of backgrounds", DURATION_S, scores, tuple(clips))


def _split(events: list[tuple[Row, str]], beds: list[Row]) -> dict[str, str]:
    """Assign packages to splits; those that pretraining may hear are for training."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, label in [*events, *((row, "background") for row in beds)]:
        if is_reserved(vars(row)):
            counts[row.package][label] += 1
    return dict.fromkeys((row.package for row in beds), TRAIN) | balanced_groups(counts, SHARES)


def _scene(
    name: str, split: str, bed: Row, heard: dict[str, list[Piece]], draw: random.Random, package: dict[str, str]
) -> Clip:
    tracks = [Track((Piece(bed.path),), loops=True, level_db=_BED_DB)]
    events: list[Event] = []
    for _ in range(draw.randint(*_EVENTS)):
        label = draw.choice(CLASSES)
        piece = draw.choice(heard[label])
        assert piece.end_s is not None  # events are cut
        length = piece.end_s - piece.start_s
        for _ in range(_TRIES):
            at = round(draw.uniform(0.0, DURATION_S - length), 2)
            event = Event(label, round(1000 * at, 1), round(1000 * (at + length), 1))
            if not any(_near(event, other) for other in events):
                level = round(_BED_DB + draw.uniform(*_ABOVE_BED_DB), 1)
                tracks.append(Track((piece,), at_s=at, level_db=level))
                events.append(event)
                break
    groups = tuple(sorted({package[source.path] for track in tracks for source in track.sources}))
    events.sort(key=lambda event: event.start_ms)
    return Clip(name, split, groups, tuple(tracks), events=tuple(events))


def _near(event: Event, other: Event) -> bool:
    gap_ms = 1000 * _GAP_S
    apart = event.start_ms > other.end_ms + gap_ms or other.start_ms > event.end_ms + gap_ms
    return event.label == other.label and not apart

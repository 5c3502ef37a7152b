"""Find the collection that is to be shown: one that is there, or a new one beside a folder of sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from axlstm.audio.find import Found, find_audio
from axlstm.collection.collection import create
from axlstm.collection.collection import open as open_collection
from axlstm.collection.description import is_collection
from axlstm.collection.schema import FILE
from axlstm.errors import ConfigError
from axlstm.explore.desk import Desk
from axlstm.explore.jobs import Job, Reporter
from axlstm.explore.views import show_new_map

if TYPE_CHECKING:
    from axlstm.collection.indexing import IndexSummary

SUFFIX = ".collection"


class Opened(NamedTuple):
    """A collection, and the folder of sound that is to be indexed into it, if it is one's."""

    folder: Path
    sounds: Path | None = None


def find_collection(given: Path) -> Opened:
    """Return the collection to show: that which is given, or one beside a folder of sound, which is made if needed.

    Raises:
        AxlstmError: there is nothing, or a folder without sound.
        DataError, DamageError: a collection that cannot be opened.
        WriteError: none can be made beside the folder.
    """
    if is_collection(given) or (given / FILE).exists():
        open_collection(given).close()
        return Opened(given)
    if not given.is_dir():
        there = "a file" if given.exists() else "not there"
        raise ConfigError(f"{given}: {there}; expected a collection, or a folder with sound files")
    sounds = given.resolve()
    folder = sounds.with_name(sounds.name + SUFFIX)
    find_audio([sounds])  # before a collection of nothing is made
    if is_collection(folder):
        open_collection(folder).close()
    else:
        create(folder, sounds).close()
    return Opened(folder, sounds)


def start_indexing(desk: Desk, tell: Callable[[IndexSummary], None] = lambda _: None) -> Job:
    """Begin to index the desk's folder of sound into the collection, and then to draw its map.

    Args:
        tell: called with what became of all recordings.

    Raises:
        ConfigError: no folder was given.
        InUseError: another job runs.
    """
    sounds, model = desk.sounds, desk.model
    if sounds is None:
        raise ConfigError(f"no folder of sound was given; axlstm index RECORDINGS -o {desk.folder} adds recordings")

    def run(report: Reporter) -> dict[str, Any]:
        from axlstm.collection.indexing import index
        from axlstm.collection.loading import choose_encoder

        report(0.0, "Looking for sound files")
        found = find_audio([sounds])
        report(0.0, "Loading the encoder")
        with desk.collection() as collection:
            known = collection.encoders() and model is None
            encoder = choose_encoder(collection, model, desk.entry(collection).name if known else "")
            summary = index(collection, encoder, found, progress=_Recordings(report, found))
        tell(summary)
        with desk.collection() as collection:
            if summary.embedded or desk.map(collection) is None:
                report(0.0, "Drawing the map")
                show_new_map(desk, collection, report)
        told = {name: value for name, value in asdict(summary).items() if isinstance(value, int)}
        return {**told, "skipped": [list(one) for one in summary.skipped[:20]], "gone": list(summary.gone[:20])}

    return desk.jobs.start("index", f"Indexing {sounds.name}", run)


class _Recordings:
    """Tells how many recordings are done."""

    def __init__(self, report: Reporter, found: Found) -> None:
        self._report, self._total, self._done = report, len(found.files), 0.0

    def __call__(self, parts: float) -> None:
        self._done += parts
        share = min(1.0, self._done / max(1, self._total))
        self._report(share, f"{int(self._done + 1e-6)} of {self._total} recordings")

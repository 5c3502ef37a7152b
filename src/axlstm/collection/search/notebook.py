"""Show hits in a notebook: a table, and players of what was found."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.recordings import current_place
from axlstm.collection.schema import connect
from axlstm.collection.stretches import Stretch, encode_sound, read_stretch
from axlstm.errors import AudioError, ConfigError, describe_error
from axlstm.show.webpage import play_sound, table

if TYPE_CHECKING:
    from IPython.display import HTML, Audio

    from axlstm.collection.search.hits import Hit


def play_hit(folder: Path, hit: Hit) -> Audio:
    """Return the notebook's player for a hit.

    Raises:
        ConfigError: IPython is not installed.
        AudioError, FileNotFoundError: the recording cannot be read, or has changed.
    """
    with CollectionFolder(folder, connect(folder)) as collection:
        content = encode_hit(collection, hit)
    return _display().Audio(content)


def show_hits(folder: Path, hits: Sequence[Hit]) -> HTML:
    """Return a table of hits with players; where one cannot be read, the reason is in its place.

    Raises:
        ConfigError: IPython is not installed.
    """
    players = []
    with CollectionFolder(folder, connect(folder)) as collection:
        for hit in hits:
            try:
                players.append(play_sound(encode_hit(collection, hit), "audio/wav"))
            except (AudioError, OSError) as error:
                players.append(html.escape(describe_error(error)))
    return _display().HTML(make_table(hits, players))


def make_table(hits: Sequence[Hit], players: Sequence[str] = ()) -> str:
    """Make the HTML of a table of hits, with their numbers from 0 on.

    Args:
        players: HTML for each hit.
    """
    has_times = any(hit.recorded_at for hit in hits)
    header = ["", "recording", "start s", "end s", "score", *(["time"] if has_times else [])]
    rows = [
        [str(number), hit.path, f"{hit.start_s:.2f}", f"{hit.end_s:.2f}", f"{hit.score:.3f}"]
        + ([hit.recorded_at or ""] if has_times else [])
        for number, hit in enumerate(hits)
    ]
    return table([*header, *(["sound"] if players else [])], rows, players)


def encode_hit(collection: CollectionFolder, hit: Hit, format: Literal["WAV", "FLAC"] = "WAV") -> bytes:
    """Return a hit as a sound file: the mean of its channels, in 16 bits, at most 48 kHz, as loud as that holds.

    Raises:
        AudioError, FileNotFoundError: the recording cannot be read, or has changed.
    """
    place = current_place(collection, hit.recording)
    samples, rate_hz = read_stretch(place, Stretch(hit.start_s, hit.end_s))  # (n,)
    return encode_sound(samples, rate_hz, format)


def _display() -> Any:
    try:
        import IPython.display
    except ImportError as error:
        raise ConfigError('players need IPython: pip install "axlstm[notebook]"') from error
    return IPython.display

"""Make pretraining shards of recordings that no task tests on: one copy of each, with a limit per track of music."""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axlstm.data.config import PrepareConfig
from axlstm.data.manifest import Item, held_out_groups
from axlstm.data.prepare import Progress, prepare
from axlstm.errors import DataError
from axlstm.files import write_atomically
from recipes.open_audio.fetch import Report, Work
from recipes.open_audio.manifest import Row, read_manifest
from recipes.open_audio.packages import KINDS
from recipes.open_audio.reserved import is_reserved

SELECTION = "pretraining.csv"
SHARDS = "shards"
_MOST_SEEDS = 200


@dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """The content and the form of the shards."""

    music_seconds: float = 105.0  # of a track, at most
    music_pieces: int = 3  # that are taken from a track, spread evenly over it
    least_hours: float = 30.0
    held_out: float = 0.03  # share of the recordings for validation, by group; about that of the hours of every kind
    shard_records: int = 300  # of 10 s at most: 48 MB
    seed: int = 0  # the first that is tried for the order and the held-out groups

    def prepare_config(self, seed: int) -> PrepareConfig:
        """Return the settings of ``axlstm prepare``."""
        return PrepareConfig(
            content="logmel",
            dtype="float16",
            held_out=self.held_out,
            shard_records=self.shard_records,
            seed=seed,
        )


@dataclass(frozen=True)
class Piece:
    """A recording for pretraining, or a part of one in seconds."""

    row: Row
    start_s: float | None = None
    end_s: float | None = None

    @property
    def seconds(self) -> float:
        """Return its duration."""
        return self.row.duration_s if self.end_s is None else self.end_s - (self.start_s or 0.0)


def select(rows: Sequence[Row], config: ShardConfig) -> list[Piece]:
    """Select the longest recording of each cluster that holds no reserved one, and cut down long tracks."""
    clusters: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        clusters[row.cluster].append(row)
    pieces = []
    for members in clusters.values():
        if any(is_reserved(vars(row)) for row in members):
            continue
        chosen = min(members, key=lambda row: (-round(row.duration_s, 1), -row.sample_rate_hz, row.path))
        pieces += _pieces(chosen, config)
    return sorted(pieces, key=lambda piece: (piece.row.path, piece.start_s or 0.0))


def _pieces(row: Row, config: ShardConfig) -> list[Piece]:
    if row.kind != "music" or row.duration_s <= config.music_seconds:
        return [Piece(row)]
    length = config.music_seconds / config.music_pieces
    gap = (row.duration_s - config.music_seconds) / (config.music_pieces + 1)
    starts = [gap + number * (length + gap) for number in range(config.music_pieces)]
    return [Piece(row, round(start, 3), round(start + length, 3)) for start in starts]


def balanced_seed(pieces: Sequence[Piece], config: ShardConfig) -> int:
    """Find the first seed, from the configured one on, that holds out some of every kind, and too much of none.

    Held-out groups are drawn at random, and some are so large that a draw is one voice and nothing else. If none of
    some hundred seeds does better, the configured one is taken.
    """
    items = [Item(piece.row.path, piece.row.group) for piece in pieces]
    hours = _hours(pieces)
    for seed in range(config.seed, config.seed + _MOST_SEEDS):
        groups = held_out_groups(items, config.held_out, seed)
        held = _hours([piece for piece in pieces if piece.row.group in groups])
        if all(1 / 3 <= held[kind] / (config.held_out * hours[kind]) <= 2 for kind in KINDS):
            return seed
    return config.seed


def write_shards(work: Work, out: Path, config: ShardConfig, report: Report, processes: int | None) -> dict[str, Any]:
    """Select from the manifest, and prepare the shards; returns their index.

    Raises:
        DataError: no manifest, a kind without any recording, fewer hours than asked for.
    """
    pieces = select(read_manifest(work.manifest), config)
    hours = _hours(pieces)
    for kind in KINDS:
        report(f"{kind}: {hours[kind]:.2f} h")
    absent = [kind for kind in KINDS if not hours[kind]]
    if absent or hours.total() < config.least_hours:
        raise DataError(
            f"{work.manifest}: {hours.total():.1f} h for pretraining"
            + (f", none of {', '.join(absent)}" if absent else "")
            + f"; expected every kind, and {config.least_hours:g} h in all: fetch again, or raise music_seconds"
        )
    write_atomically(work.folder / SELECTION, _csv(pieces).encode())
    last = 0

    def show(progress: Progress) -> None:
        nonlocal last
        if progress.items_done >= last + 2000:
            last = progress.items_done
            report(f"{progress.items_done}/{progress.items} pieces, {progress.audio_seconds / 3600:.2f} h")

    seed = balanced_seed(pieces, config)
    report(f"{len(pieces)} pieces, {hours.total():.2f} h; seed {seed}")
    directory = out.resolve()
    with contextlib.chdir(work.folder):  # paths as in the manifest: the same bytes wherever the folder lies
        return prepare([Path(SELECTION)], directory, config.prepare_config(seed), processes=processes, on_progress=show)


def _hours(pieces: Sequence[Piece]) -> Counter[str]:
    hours: Counter[str] = Counter()
    for piece in pieces:
        hours[piece.row.kind] += piece.seconds / 3600  # type: ignore[assignment]
    return hours


def _csv(pieces: Sequence[Piece]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "start", "end", "label", "group"])
    for piece in pieces:
        start, end = ("" if value is None else value for value in (piece.start_s, piece.end_s))
        writer.writerow([piece.row.path, start, end, piece.row.kind, piece.row.group])
    return stream.getvalue()

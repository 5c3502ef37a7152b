"""Run a benchmark and write its result: ``python -m benchmarks NAME``."""

from __future__ import annotations

import sys
from collections.abc import Callable

import tyro

from axlstm.errors import AxlstmError
from benchmarks.afternoon import afternoon
from benchmarks.check import check
from benchmarks.checks import checks
from benchmarks.collections import collections
from benchmarks.density import density
from benchmarks.detections import detections
from benchmarks.embedding import embedding
from benchmarks.engines import engines
from benchmarks.explore import explore
from benchmarks.explore_page import explore_page
from benchmarks.finetuning import finetuning
from benchmarks.folder import folder
from benchmarks.gpu import gpu
from benchmarks.hoplite import hoplite
from benchmarks.int8 import int8
from benchmarks.invariances import invariances
from benchmarks.lance import lance
from benchmarks.largest import largest
from benchmarks.length import length
from benchmarks.many import many
from benchmarks.maps import maps
from benchmarks.neighbours import neighbours
from benchmarks.prepare import prepare
from benchmarks.probes import against_kit, compare_exactly, show_growth, show_large
from benchmarks.reader import reader
from benchmarks.rooms import rooms
from benchmarks.scale import scale
from benchmarks.scaling import scaling
from benchmarks.search import search
from benchmarks.seeded_loss import seeded_loss
from benchmarks.short_clips import short_clips
from benchmarks.start import start
from benchmarks.stream import stream
from benchmarks.suggest import suggest
from benchmarks.table import table
from benchmarks.trainer import trainer
from benchmarks.training import training
from benchmarks.windows import windows

BENCHMARKS: dict[str, Callable[..., int]] = {
    "check": check,
    "collections": collections,
    "density": density,
    "detections": detections,
    "embedding": embedding,
    "engines": engines,
    "explore": explore,
    "explore-page": explore_page,
    "folder": folder,
    "lance": lance,
    "largest": largest,
    "length": length,
    "many": many,
    "maps": maps,
    "windows": windows,
    "start": start,
    "stream": stream,
    "table": table,
    "trainer": trainer,
    "training": training,
    "finetuning": finetuning,
    "scale": scale,
    "scaling": scaling,
    "seeded-loss": seeded_loss,
    "gpu": gpu,
    "hoplite": hoplite,
    "int8": int8,
    "invariances": invariances,
    "neighbours": neighbours,
    "prepare": prepare,
    "short-clips": short_clips,
    "rooms": rooms,
    "checks": checks,
    "reader": reader,
    "search": search,
    "suggest": suggest,
    "afternoon": afternoon,
    "probes": against_kit,
    "probes-exact": compare_exactly,
    "probes-growth": show_growth,
    "probes-large": show_large,
}

if __name__ == "__main__":
    app = tyro.extras.SubcommandApp()
    for name, benchmark in BENCHMARKS.items():
        app.command(name=name)(benchmark)
    try:
        sys.exit(app.cli(prog="python -m benchmarks", description="Ours beside the released algorithm, in one run."))
    except AxlstmError as error:
        sys.exit(f"benchmarks: error: {error}")

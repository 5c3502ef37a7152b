"""Prepare shards of the rendered recordings."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from axlstm.data.config import PrepareConfig
from axlstm.data.prepare import prepare
from recipes.open_audio.fetch import Report
from recipes.open_audio.synth.render import FOLDER, SynthConfig, render_all
from recipes.open_audio.synth.teaching import SHARDS

_HELD_OUT = 0.12  # share of the records, by voice and instrument: their losses say what is learnt
_SHARD_RECORDS = 300


def write_synth_shards(work: Path, config: SynthConfig, report: Report) -> dict[str, Any]:
    """Render what is not there yet, and prepare ``WORK/synth_shards``; returns their index. Errors as `render_all`."""
    manifest = render_all(work, config, report)
    prepared = PrepareConfig(
        content="logmel", dtype="float16", held_out=_HELD_OUT, shard_records=_SHARD_RECORDS, seed=config.seed
    )
    out = (work / SHARDS).resolve()
    with contextlib.chdir(work):  # paths as in the shards of real recordings
        return prepare([Path(FOLDER) / manifest.name], out, prepared, processes=1)

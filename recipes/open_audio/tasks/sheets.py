"""Draw sheets of log-mel spectrograms, one a class, to check labels from file names by eye.

python -m recipes.open_audio.tasks.sheets WORK OUT
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from pathlib import Path

import torch

from axlstm.audio.logmel import LogMel
from axlstm.audio.read import load_audio
from axlstm.errors import AudioError
from recipes.open_audio.fetch import Work
from recipes.open_audio.manifest import Row, read_manifest
from recipes.open_audio.tasks.environment import DURATION_S, choose
from recipes.open_audio.tasks.recordings import Recordings

_COLUMNS, _PER_SHEET = 10, 60
_SAMPLES = round(DURATION_S * 16_000)


def draw_sheet(rows: list[Row], folder: Path, path: Path) -> None:
    """Draw the first seconds of recordings below ``folder``, with their packages, names and durations."""
    from matplotlib.figure import Figure

    lines = -(-len(rows) // _COLUMNS)
    figure = Figure(figsize=(2.0 * _COLUMNS, 1.5 * lines), layout="constrained")
    front_end = LogMel()
    for place, row in enumerate(rows, start=1):
        try:
            samples = torch.from_numpy(load_audio(folder / row.path)[:_SAMPLES])  # (n,)
        except AudioError as error:
            logging.warning("%s is not drawn: %s", row.path, error)
            continue
        padded = torch.nn.functional.pad(samples, (0, _SAMPLES - len(samples)))
        axes = figure.add_subplot(lines, _COLUMNS, place)
        axes.imshow(front_end(padded[None])[0].T.numpy(), origin="lower", aspect="auto", vmin=-12, vmax=6)
        axes.set_title(f"{place - 1} {row.package[:14]}\n{Path(row.path).stem[-20:]} {row.duration_s:.1f}", fontsize=7)
        axes.set_axis_off()
    figure.savefig(path, dpi=80)


def main(work: Path, out: Path) -> None:
    """Draw all classes, dropped recordings included."""
    by_class: dict[str, list[Row]] = defaultdict(list)
    for row, label in choose(Recordings(work, read_manifest(Work(work).manifest)), drops=False):
        by_class[label].append(row)
    out.mkdir(parents=True, exist_ok=True)
    for label, rows in by_class.items():
        for at in range(0, len(rows), _PER_SHEET):
            name = f"{label.replace(' ', '_')}-{at // _PER_SHEET}"
            draw_sheet(rows[at : at + _PER_SHEET], work, out / f"{name}.png")
            listing = "".join(f"{row.package}/{Path(row.path).name}\n" for row in rows[at : at + _PER_SHEET])
            (out / f"{name}.txt").write_text(listing, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

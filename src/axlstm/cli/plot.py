"""Draw a sound file and its embeddings: ``axlstm plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.embed import Model, Revision
from axlstm.options import LayoutName


def plot(
    file: Positional[Path],
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    model: Model = "axlstm-tiny",
    layout: LayoutName = "time",
    device: str = "cpu",
    revision: Revision = None,
) -> int:
    """Draw waveform, log-mel, similarity of the frame embeddings and their principal components.

    Args:
        file: a sound file.
        out: PNG to write. The default is the file's name with .png, in the current folder.
        layout: time, or published as the release computes it.
        device: cpu, cuda, cuda:N, mps or auto.
    """
    from axlstm.hub import load_model
    from axlstm.show.plots import plot_clip

    target = out or Path(f"{file.stem}.png")
    plot_clip(load_model(model, revision=revision, layout=layout, device=device), file, target)
    print(target)
    return 0

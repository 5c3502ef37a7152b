"""Show all that the package does on the recordings that come with it: ``axlstm demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from axlstm.cli.embed import Model, Revision
from axlstm.cli.progress import Progress


def demo(
    out: Annotated[Path, arg(aliases=["-o"])] = Path("demo"),
    model: Model = "axlstm-tiny",
    steps: int = 48,
    seed: int = 0,
    revision: Revision = None,
) -> int:
    """Embed the bundled recordings, pretrain on them for a moment, reconstruct one, probe a small task: on one page.

    Args:
        out: a folder for the page, index.html, the embeddings, samples.parquet, and a collection, samples.collection.
        steps: of pretraining.
        seed: of the fresh weights, the crops and the masks.
    """
    from axlstm.demo import DemoConfig, run_demo
    from axlstm.demo.exploring import COLLECTION_NAME
    from axlstm.hub import load_model

    config = DemoConfig(steps=steps, seed=seed)
    embedder = load_model(model, revision=revision)
    try:
        with Progress() as progress:
            page = run_demo(embedder, model, out, config, progress.on_progress)
    except KeyboardInterrupt:
        print(f"axlstm: interrupted; {out} is as it was before", file=sys.stderr)
        return 130
    if not embedder.trained:
        print("The weights are random: neighbours and scores show what an untrained encoder keeps of the spectrum.")
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser")
    print(f"To search, label and train on these recordings: axlstm explore {out / COLLECTION_NAME} --open")
    return 0

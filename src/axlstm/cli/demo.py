"""``axlstm demo``: the main job on the recordings that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from axlstm.cli.embed import Model


def demo(out: Annotated[Path, arg(aliases=["-o"])] = Path("demo"), model: Model = "axlstm-tiny") -> int:
    """Embed the bundled recordings, list their nearest neighbours and draw them.

    Args:
        out: a folder for the embeddings and the pictures.
        model: where the weights are.
    """
    from axlstm.demo import run_demo
    from axlstm.hub import load_model

    embedder = load_model(model)
    lines = run_demo(embedder, out)
    print(f"{len(lines)} recordings, nearest neighbours by scene embedding (cosine):")
    print("\n".join(lines))
    if not embedder.trained:
        print("The weights are random: open weights have not landed yet, and neighbours show only what an")
        print("untrained encoder keeps of the spectrum.")
    print(f"Embeddings: {out / 'samples.parquet'}; pictures: {out}/*.png")
    return 0

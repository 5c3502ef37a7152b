"""``axlstm models``, ``axlstm info`` and ``axlstm convert``: what there is, what it is, in our format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.options import LayoutName


def models() -> int:
    """List the published sizes."""
    from axlstm.checkpoints.sources import has_weights
    from axlstm.model.config import PRESETS, short_name
    from axlstm.model.pretraining import parameter_count

    print(f"{'name':14} {'published name':26} {'depth':>5} {'width':>5} {'parameters':>11} {'embedding':>9}  weights")
    for name, config in PRESETS.items():
        weights = "in the package" if has_weights(name) else "none: random"
        print(
            f"{short_name(name):14} {name:26} {config.depth:5d} {config.width:5d} "
            f"{parameter_count(config):11,d} {config.embedding_size:9d}  {weights}"
        )
    return 0


def info(source: Positional[str], layout: LayoutName = "time") -> int:
    """Describe a model, a sound file or a file of embeddings.

    Args:
        source: a model as `axlstm embed --model` takes it, a sound file, or what `axlstm embed` wrote.
        layout: of the model's frames.
    """
    from axlstm.show.describe import describe

    for key, value in describe(source, layout).items():
        print(f"{key:18} {value}")
    return 0


def convert(run: Positional[Path], out: Positional[Path], force: Annotated[bool, arg(aliases=["-f"])] = False) -> int:
    """Convert a run folder or .pth file of the published release into our format.

    Nothing found in the checkpoint is executed. The training arguments are kept in config.json.

    Args:
        run: the folder or file.
        out: a folder for config.json and model.safetensors.
        force: replace a model that is there already.
    """
    from axlstm.checkpoints.own import WEIGHTS_NAME
    from axlstm.checkpoints.published import load_published
    from axlstm.errors import CheckpointError
    from axlstm.model.pretraining import count_parameters

    checkpoint = load_published(run)
    if (out / WEIGHTS_NAME).exists() and not force:
        raise CheckpointError(f"{out}: holds a model already; choose another folder, or add --force")
    checkpoint.save(out)
    count = count_parameters(checkpoint.model)
    print(f"{out}: {checkpoint.name}, epoch {checkpoint.training.get('epoch', 'unknown')}, {count:,} parameters")
    return 0

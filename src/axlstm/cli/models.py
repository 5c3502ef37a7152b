"""List, describe and convert models: ``axlstm models``, ``axlstm info`` and ``axlstm convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.embed import Revision
from axlstm.options import LayoutName


def models() -> int:
    """List the published sizes."""
    from axlstm.checkpoints.reading import has_weights
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


def info(
    source: Positional[str],
    layout: LayoutName = "time",
    out: Annotated[Path | None, arg(aliases=["-o"])] = None,
    revision: Revision = None,
) -> int:
    """Describe a model, a sound, embeddings, an exported model, a collection, a classifier, shards or folders of sound.

    Of a sound it says how much can be read, and of embeddings how many recordings have changed since.

    Args:
        source: a model as `axlstm embed --model` takes it, a sound file, a file that `axlstm embed` or `axlstm export`
            wrote, a folder that `axlstm index`, `axlstm train` or `axlstm prepare` wrote, or a folder of sounds.
        layout: layout of the model's frames.
        out: PNG for durations, levels and mean log-mel of a folder of shards.
    """
    from axlstm.collection.about import describe_collection
    from axlstm.collection.classifiers.card import describe_classifier
    from axlstm.collection.classifiers.classifier import is_classifier, load_classifier
    from axlstm.collection.collection import open
    from axlstm.collection.description import is_collection
    from axlstm.data.info import describe_shards, holds_shards, shards_figure
    from axlstm.errors import ConfigError
    from axlstm.show.describe import as_lines, describe
    from axlstm.show.figures import save_figure

    if revision is None and holds_shards(Path(source)):
        splits = describe_shards(Path(source))
        print("\n".join(split.summary() for split in splits))
        if out is not None:
            save_figure(shards_figure(splits), out)
            print(f"wrote {out}")
        return 0
    if out is not None:
        raise ConfigError(f"--out {out}: {source} is no folder of shards; axlstm plot draws a sound")
    if revision is None and is_collection(Path(source)):
        with open(source) as collection:
            facts = describe_collection(collection)
    elif revision is None and is_classifier(Path(source)):
        facts = describe_classifier(load_classifier(source))
    else:
        facts = describe(source, layout, revision)
    print("\n".join(as_lines(facts)))
    return 0


def convert(run: Positional[Path], out: Positional[Path], force: Annotated[bool, arg(aliases=["-f"])] = False) -> int:
    """Convert a run folder or .pth file of the published release into config.json and model.safetensors.

    Nothing found in the checkpoint is executed. The training arguments are kept in config.json.

    Args:
        run: the folder or file. A file may also be a state_dict, by itself or in a checkpoint of Lightning's.
        out: a folder for config.json and model.safetensors.
        force: replace a model that OUT already holds.
    """
    from axlstm.checkpoints.published import load_published
    from axlstm.checkpoints.reading import WEIGHTS_NAME
    from axlstm.errors import CheckpointError
    from axlstm.model.pretraining import count_parameters

    checkpoint = load_published(run)
    if (out / WEIGHTS_NAME).exists() and not force:
        raise CheckpointError(f"{out}: holds a model already; choose another folder, or add --force")
    checkpoint.save(out)
    count = count_parameters(checkpoint.model)
    print(f"{out}: {checkpoint.name}, epoch {checkpoint.training.get('epoch', 'unknown')}, {count:,} parameters")
    return 0

"""Draw how a trained model fills in the hidden patches of a sound: ``axlstm reconstruct``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.embed import Model, Revision
from axlstm.options import Masking


def reconstruct(
    file: Positional[Path],
    out: Annotated[Path, arg(aliases=["-o"])],
    model: Model = "axlstm-tiny",
    mask_ratio: float = 0.5,
    masking: Masking = "unstructured",
    seed: int = 0,
    windows: int = 4,
    revision: Revision = None,
) -> int:
    """Draw a sound, the patches that the model sees, and its prediction.

    Args:
        file: a sound file.
        out: PNG to write.
        mask_ratio: share of hidden patches.
        masking: hide patches one by one, or all bands of a patch of time.
        seed: seed of the mask.
        windows: largest number of windows (2 s each) to draw.
    """
    from axlstm.audio.read import load_audio
    from axlstm.checkpoints.sources import find_checkpoint
    from axlstm.pretrain.config import ObjectiveConfig
    from axlstm.pretrain.reconstruct import reconstruct_clip
    from axlstm.show.figures import save_figure

    objective = ObjectiveConfig(mask_ratio=mask_ratio, masking=masking)
    checkpoint = find_checkpoint(model, revision)
    result = reconstruct_clip(checkpoint, load_audio(file), objective, seed=seed, most_windows=windows)
    save_figure(result.figure, out)
    print(f"{result}\ndrew {out}")
    return 0

"""``axlstm reconstruct``: what a trained model makes of a sound with some of its patches hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.cli.embed import Model
from axlstm.options import Masking


def reconstruct(
    file: Positional[Path],
    out: Annotated[Path, arg(aliases=["-o"])],
    model: Model = "axlstm-tiny",
    mask_ratio: float = 0.5,
    masking: Masking = "unstructured",
    seed: int = 0,
    windows: int = 4,
) -> int:
    """Draw a sound, what the model sees of it, and what it predicts.

    Args:
        file: a sound file.
        out: PNG to draw into.
        mask_ratio: share of patches hidden.
        masking: hide patches one by one, or all bands of a patch of time.
        seed: of the mask.
        windows: most windows (2 s each) that are drawn.
    """
    from axlstm.audio.read import load_audio
    from axlstm.checkpoints.sources import find_checkpoint
    from axlstm.pretrain.config import ObjectiveConfig
    from axlstm.pretrain.reconstruct import reconstruct_clip
    from axlstm.show.figures import save_figure

    objective = ObjectiveConfig(mask_ratio=mask_ratio, masking=masking)
    result = reconstruct_clip(find_checkpoint(model), load_audio(file), objective, seed=seed, most_windows=windows)
    save_figure(result.figure, out)
    print(f"{result}\ndrew {out}")
    return 0

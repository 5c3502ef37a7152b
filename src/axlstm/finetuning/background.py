"""Read the sounds that are added to clips in training."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from axlstm.audio.find import find_audio
from axlstm.audio.logmel import FrontendConfig, LogMel
from axlstm.audio.read import load_audio
from axlstm.errors import AudioError, ConfigError, DataError
from axlstm.finetuning.config import AugmentConfig

_MOST_S = 3600.0  # of sound in all


def read_background(config: AugmentConfig, frontend: FrontendConfig) -> list[Tensor]:
    """Read the log-mel ``(T, bands)`` of each sound of the configured folder, in the order of their names.

    Raises:
        ConfigError: a folder without sound.
        DataError: a sound that cannot be read, or more than an hour of sound.
    """
    if not config.background:
        return []
    folder = Path(config.background)
    files = sorted(find_audio([folder]).files) if folder.is_dir() else []
    if not files:
        raise ConfigError(f"augment.background={config.background!r}: no folder with sounds; expected one")
    logmel, found, seconds = LogMel(frontend), [], 0.0
    for file in files:
        try:
            samples = torch.from_numpy(load_audio(file))
            with torch.no_grad():
                found.append(logmel(samples))
        except (AudioError, OSError) as error:
            raise DataError(f"{file}: {error}; remove it from the background") from error
        seconds += len(samples) / frontend.sample_rate_hz
        if seconds > _MOST_S:
            raise DataError(f"{folder}: more than {_MOST_S / 60:g} minutes of background, which is kept in memory")
    return found

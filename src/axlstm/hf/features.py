"""Turn sound into what the models take: the normalised log-mel of each clip, padded to one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import BatchFeature
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.utils import logging

from axlstm.audio.arrays import as_array, to_mono
from axlstm.audio.frontend import FrontendConfig, normalise_array
from axlstm.audio.logmel import array_twin
from axlstm.errors import AudioError, ConfigError
from axlstm.hf.config import AxLSTMConfig

logger = logging.get_logger(__name__)


class AxLSTMFeatureExtractor(SequenceFeatureExtractor):
    """Makes ``input_values (B, T, bands)`` and ``attention_mask (B, T)`` of clips, T in steps of 10 ms.

    Each clip is normalised by itself, as `axlstm.load_model` does, and zeros follow its end.

    Args:
        frontend: fields of `axlstm.audio.frontend.FrontendConfig`. `from_pretrained` takes those of the model.

    Raises:
        ConfigError: a field that does not exist or is out of its range, or padding in front of clips.
    """

    model_input_names = ("input_values", "attention_mask")

    def __init__(self, frontend: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.front_end = FrontendConfig.from_dict(dict(frontend or {}))
        if options.pop("padding_side", "right") != "right":
            raise ConfigError("padding_side: expected 'right'; the models take clips that begin at the beginning")
        for fixed in ("feature_size", "sampling_rate", "padding_value", "feature_extractor_type"):
            options.pop(fixed, None)
        options.setdefault("return_attention_mask", True)
        super().__init__(self.front_end.mel_bands, self.front_end.sample_rate_hz, 0.0, **options)

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        *,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Extract the features of one clip or several; of one, a batch of one.

        Args:
            raw_speech: samples ``(n,)`` as an array, tensor or list, a list of these, or ``(B, n)``.
            sampling_rate: of the samples, in Hz.
            padding, max_length, truncation, pad_to_multiple_of, return_tensors, return_attention_mask: as every
                sequence feature extractor has them, in steps of 10 ms.

        Raises:
            ConfigError: another sampling rate than the model's, or an option that does not exist.
            AudioError: a clip without samples, with fewer than 400, or with NaN; its number is named.
        """
        if options:
            raise ConfigError(f"{', '.join(options)}: not an option of the feature extractor")
        if sampling_rate is None:
            logger.warning_once(f"sampling_rate was not given; it is taken to be {self.sampling_rate} Hz")
        elif sampling_rate != self.sampling_rate:
            raise ConfigError(
                f"sampling_rate={sampling_rate}: the model takes {self.sampling_rate} Hz; convert the sound with "
                f"axlstm.audio.read.load_audio(x, {sampling_rate}), or load files with it"
            )
        clips = as_clips(raw_speech)
        features = [self._features(clip, f"clip {number}") for number, clip in enumerate(clips)]
        found: BatchFeature = self.pad(
            {"input_values": features},
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_tensors=return_tensors,
            return_attention_mask=return_attention_mask,
        )
        return found

    def _features(self, clip: Any, name: str) -> NDArray[np.float32]:
        """Compute the normalised log-mel ``(T, bands)`` of a clip."""
        try:
            samples = to_mono(clip, self.sampling_rate)  # (n,)
            logmel = array_twin(self.front_end).arrays(samples)
        except AudioError as error:
            raise AudioError(f"{name}: {error}") from error
        return normalise_array(logmel[: len(samples) // self.front_end.hop_samples])  # the frames that count

    @classmethod
    def get_feature_extractor_dict(cls, source: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read ``preprocessor_config.json``. The front end is that of the model beside it, unless it is said there."""
        try:
            found, rest = super().get_feature_extractor_dict(source, **options)
        except OSError:
            found, rest = {}, options
        if "frontend" not in found:
            config, rest = AxLSTMConfig.get_config_dict(source, **options)
            found = {**found, "frontend": config.get("frontend", {})}
        return found, rest

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``preprocessor_config.json``."""
        return {
            "feature_extractor_type": type(self).__name__,
            "frontend": self.front_end.to_dict(),
            "return_attention_mask": self.return_attention_mask,
        }


def as_clips(given: Any) -> list[NDArray[Any]]:
    """Return one clip or several as arrays ``(n,)``.

    Raises:
        AudioError: no clip, or shapes that stand for none.
    """
    if isinstance(given, (list, tuple)):
        if len(given) == 0:
            raise AudioError("no clip and no samples; expected samples (n,), or a list of them")
        one = np.isscalar(given[0])
        clips = [np.asarray(given, np.float32)] if one else [_as_clip(clip) for clip in given]
    else:
        array = as_array(given)
        clips = [array] if array.ndim == 1 else list(array) if array.ndim == 2 else []
        if not clips:
            raise AudioError(f"samples of shape {array.shape}: expected (n,), or (clips, n)")
    for number, clip in enumerate(clips):
        if clip.ndim != 1:
            raise AudioError(f"clip {number}: shape {clip.shape}, expected (n,): average its channels first")
    return clips


def _as_clip(given: Any) -> NDArray[Any]:
    return np.asarray(given, np.float32) if isinstance(given, (list, tuple)) else as_array(given)

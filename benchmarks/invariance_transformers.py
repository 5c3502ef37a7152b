"""Build audio classes of Hugging Face transformers with random weights, and use them as their documentation says.

Clips go through the class's own feature extractor, with its own defaults of padding and masks. What is pooled is what
the library's own head for classification of that class pools. Random weights show what the design does: front end,
padding, masks, times and speed. They do not show what training would teach. Sizes are the defaults of the
configurations. AST, Wav2Vec2 and HuBERT may have fewer than their twelve blocks, which treat batches and times alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from axlstm.options import Precision
from benchmarks.invariance_listeners import (
    RATE_HZ,
    Entry,
    Frames,
    Listener,
    NotOffered,
    Sound,
    at_rate,
    import_module,
)

_INSTALL = 'pip install "axlstm[hf]"'
_SEED = 0
_DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Call = Callable[[Any, dict[str, Any]], Any]


class FromTransformers:
    """A feature extractor and its model.

    Args:
        extractor: turns clips into the model's inputs.
        model: the model.
        pooled: computes ``(N, D)`` from the model and its inputs.
        hop_s: distance of the tokens in time.
        tokens: computes frames ``(N, T, D)`` if the documentation says at what time each is.
    """

    def __init__(self, extractor: Any, model: Any, pooled: Call, hop_s: float, tokens: Call | None) -> None:
        self._extractor, self._model = extractor, model
        self._pooled, self._tokens, self.hop_s = pooled, tokens, hop_s

    def _inputs(self, clips: Sequence[Sound], rate_hz: int) -> dict[str, Any]:
        own_hz = self._extractor.sampling_rate
        resampled = at_rate(clips, rate_hz, own_hz)
        options = {"padding": True} if type(self._extractor).__name__ == "Wav2Vec2FeatureExtractor" else {}
        inputs = self._extractor(resampled, sampling_rate=own_hz, return_tensors="pt", **options)
        dtype = self._model.dtype
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}

    def embed(self, clips: Sequence[Sound], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        with torch.no_grad():
            return self._pooled(self._model, self._inputs(clips, rate_hz)).float().numpy()

    def frames(self, clip: Sound) -> Frames:
        if self._tokens is None:
            raise NotOffered("its documentation gives tokens no times")
        with torch.no_grad():
            (values,) = self._tokens(self._model, self._inputs([clip], RATE_HZ)).float().numpy()
        return Frames(values, np.arange(len(values)) * self.hop_s)


def _speech(name: str, config: dict[str, Any], masked: bool, blocks: int) -> Callable[[Precision], Listener]:
    """Return what makes Wav2Vec2 or HuBERT: the mean of the last states, of those that the mask leaves."""

    def load(precision: Precision) -> Listener:
        transformers = import_module("transformers")
        settings = getattr(transformers, f"{name}Config")(num_hidden_layers=blocks, **config)
        extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masked)
        hop_s = float(np.prod(settings.conv_stride)) / extractor.sampling_rate

        def pooled(model: Any, inputs: dict[str, Any]) -> Any:
            states = model(**inputs).last_hidden_state  # (N, T, D)
            if not masked:
                return states.mean(dim=1)
            mask = model._get_feature_vector_attention_mask(states.shape[1], inputs["attention_mask"])  # (N, T)
            return (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

        return FromTransformers(
            extractor, _random(getattr(transformers, f"{name}Model"), settings, precision), pooled, hop_s, _states
        )

    return load


def _states(model: Any, inputs: dict[str, Any]) -> Any:
    return model(**inputs).last_hidden_state


def _ast(blocks: int) -> Callable[[Precision], Listener]:
    def load(precision: Precision) -> Listener:
        transformers = import_module("transformers")
        settings = transformers.ASTConfig(num_hidden_layers=blocks)
        model = _random(transformers.ASTModel, settings, precision)
        hop_s = 0.01 * settings.time_stride
        return FromTransformers(
            transformers.ASTFeatureExtractor(), model, lambda m, inputs: m(**inputs).pooler_output, hop_s, None
        )

    return load


def _whisper(precision: Precision) -> Listener:
    transformers = import_module("transformers")
    model = _random(transformers.WhisperModel, transformers.WhisperConfig(), precision).get_encoder()
    extractor = transformers.WhisperFeatureExtractor()
    hop_s = 2 * extractor.hop_length / extractor.sampling_rate  # the second convolution halves the rate
    return FromTransformers(extractor, model, lambda m, inputs: _states(m, inputs).mean(dim=1), hop_s, _states)


def _clap(truncation: str) -> Callable[[Precision], Listener]:
    def load(precision: Precision) -> Listener:
        transformers = import_module("transformers")
        fused = truncation == "fusion"
        options = {"enable_fusion": True, "fusion_type": "aff_2d", "patch_embed_input_channels": 1} if fused else {}
        settings = transformers.ClapAudioConfig(**options)
        model = _random(transformers.ClapAudioModelWithProjection, settings, precision)
        extractor = transformers.ClapFeatureExtractor(truncation=truncation)
        hop_s = settings.patch_stride[0] * extractor.hop_length / extractor.sampling_rate
        return FromTransformers(extractor, model, lambda m, inputs: m(**inputs).audio_embeds, hop_s, None)

    return load


def _random(model: Any, config: Any, precision: Precision) -> Any:
    """Make a model of seeded weights, without touching the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return model(config).eval().to(_DTYPES[precision])


def transformers_entries(blocks: int) -> list[Entry]:
    """Return the entries of transformers' classes, with weights that were never trained.

    Args:
        blocks: of AST, Wav2Vec2 and HuBERT, up to their twelve.
    """
    layered = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    loaders: dict[str, Callable[[Precision], Listener]] = {
        "AST": _ast(blocks),
        "Wav2Vec2": _speech("Wav2Vec2", {}, masked=False, blocks=blocks),
        "Wav2Vec2, masked": _speech("Wav2Vec2", layered, masked=True, blocks=blocks),
        "HuBERT": _speech("Hubert", {}, masked=False, blocks=blocks),
        "Whisper": _whisper,
        "CLAP, fused": _clap("fusion"),
        "CLAP": _clap("rand_trunc"),
    }
    random = f"random, seed {_SEED}"
    return [Entry(name, random, _INSTALL, load, "transformers") for name, load in loaders.items()]

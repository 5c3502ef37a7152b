"""Describe a model to transformers, with the content of our ``config.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from axlstm.audio.frontend import FrontendConfig
from axlstm.checkpoints.description import FORMAT_VERSION, MODEL_TYPE, describe_model
from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.options import HeadPooling, check_choice

_SHAPE = {field.name for field in fields(ModelConfig)}
_SHAPE |= {name for name, value in vars(ModelConfig).items() if isinstance(value, property)}


class AxLSTMConfig(PreTrainedConfig):
    """The configuration of an AxLSTM, or of its transformer twin SSAST (``model={"family": "ssast"}``).

    The fields and sizes of `axlstm.model.config.ModelConfig` can be read from here too, such as ``config.depth``.

    Args:
        model: fields of `axlstm.model.config.ModelConfig`; those that are not given are the published Tiny's.
        frontend: fields of `axlstm.audio.frontend.FrontendConfig`.
        name: of the model.
        trained: whether its weights were trained.
        training: arguments that it was trained with.
        head_pooling: of a classifier: the way from a clip's frames to one vector. None scores every frame, and a clip
            has the highest score of each label.
        classifier: what a classifier's own file says of it, ``classifier.json``. It is read from there and written to
            there, and is no part of ``config.json``; neither are ``head_pooling`` and the labels.
        options: those of every configuration, such as ``id2label`` or ``num_labels``. Without one of these two there
            are no labels.

    Raises:
        ConfigError: a field that does not exist or is out of its range, or the configuration of another kind of model.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        *,
        model: Mapping[str, Any] | None = None,
        frontend: Mapping[str, Any] | None = None,
        name: str = "",
        trained: bool = True,
        training: Mapping[str, Any] | None = None,
        format_version: int = FORMAT_VERSION,
        head_pooling: HeadPooling | None = "mean",
        classifier: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        kind = options.pop("model_type", MODEL_TYPE)
        if kind != MODEL_TYPE:
            raise ConfigError(f"a configuration of model_type {kind!r}: expected {MODEL_TYPE!r}; use AutoConfig for it")
        if head_pooling is not None:
            check_choice("head_pooling", head_pooling, HeadPooling)
        self._shape = ModelConfig.from_dict(model or {})
        self._front_end = FrontendConfig.from_dict({"mel_bands": self._shape.mel_bands, **(frontend or {})})
        self.name, self.trained, self.training = name, trained, dict(training or {})
        self.format_version = format_version
        self.head_pooling = head_pooling
        self.classifier = None if classifier is None else dict(classifier)
        if options.get("id2label") is None and options.get("num_labels") is None:
            options["id2label"], options["label2id"] = {}, {}
        super().__init__(**options)

    @property
    def model(self) -> dict[str, Any]:
        """Return the fields of `shape`."""
        return self._shape.to_dict()

    @property
    def frontend(self) -> dict[str, Any]:
        """Return the fields of `front_end`."""
        return self._front_end.to_dict()

    @property
    def shape(self) -> ModelConfig:
        """Return the sizes of the model."""
        return self._shape

    @property
    def front_end(self) -> FrontendConfig:
        """Return the settings of the log-mel spectrogram."""
        return self._front_end

    @property
    def hidden_size(self) -> int:
        """Return the size of a frame: all bands of a moment side by side."""
        return self._shape.embedding_size

    @property
    def num_hidden_layers(self) -> int:
        """Count the blocks."""
        return self._shape.depth

    @property
    def num_attention_heads(self) -> int:
        """Count the heads of a block."""
        return self._shape.heads

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the labels by number; none for a model without."""
        return tuple(self.id2label[number] for number in range(len(self.id2label)))

    def __getattr__(self, name: str) -> Any:
        if name in _SHAPE and "_shape" in self.__dict__:
            return getattr(self._shape, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def description(self) -> dict[str, Any]:
        """Return the content of ``config.json``, as `axlstm.checkpoints.own.Checkpoint.description`."""
        return describe_model(self.name, self.trained, self.model, self.frontend, self.training)

    def to_dict(self) -> dict[str, Any]:
        """Return all that the configuration can be made of again."""
        found: dict[str, Any] = super().to_dict()
        for private in ("_shape", "_front_end"):
            found.pop(private, None)
        return found | {"model": self.model, "frontend": self.frontend}

    def to_json_file(self, json_file_path: str | Path, use_diff: bool = True) -> None:
        """Write ``config.json`` as axlstm has it."""
        del use_diff
        Path(json_file_path).write_text(json.dumps(self.description(), indent=2) + "\n", encoding="utf-8")

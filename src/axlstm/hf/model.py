"""Compute frames of clips with the encoder, as a model of transformers."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from axlstm.errors import ConfigError
from axlstm.finetuning.network import ClipHead
from axlstm.hf.config import AxLSTMConfig
from axlstm.hf.saved import DOWNLOADING, Found, fetch, make_checkpoint, precision_of, read_tensors
from axlstm.model.encoder import Encoder
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.model.vil import AxLSTMBlock

_ENCODER, _PREDICTION = "encoder.", "head."


@dataclass
class AxLSTMOutput(ModelOutput):
    """Frames of clips, one for every patch of time (40 ms in the published models).

    Args:
        last_hidden_state: frames ``(B, T, F)``; zero behind the end of a clip.
        pooler_output: means of a clip's real frames ``(B, F)``.
        hidden_states: frames after the patches and after each block, before the final norm, each ``(B, T, F)``.
        frame_mask: which frames are real ``(B, T)``, bool.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    frame_mask: Tensor | None = None


class AxLSTMPreTrainedModel(PreTrainedModel):
    """Holds what all classes share: where weights come from, where they go, and how fresh ones are drawn."""

    config_class = AxLSTMConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    input_modalities = "audio"
    supports_gradient_checkpointing = True
    _no_split_modules = ("AxLSTMBlock", "SSASTBlock")
    accepts_loss_kwargs = False  # a loss is a mean over its batch: Trainer averages over accumulated ones itself
    further_files: tuple[str, ...] = ()  # that a folder may hold for this class

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of a module. Parts come before the whole, which draws those of its parts anew."""
        if isinstance(module, (AxLSTMModel, ClipHead, nn.Linear)):
            module.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *args: Any,
        config: PreTrainedConfig | str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """Load a model from a folder of axlstm's or a Hub id. Nothing found in it is executed.

        Args:
            pretrained_model_name_or_path: the folder or Hub id. None takes the weights from ``state_dict=``.
            config: in place of the folder's.
            options: as every model of transformers has them: ``dtype``, ``device_map``, ``revision``, ...

        Raises:
            CheckpointError: a folder of another kind of model, a damaged file, or weights that do not fit.
            ConfigError: a classifier is asked for where there is none, or with other labels than its own.
            OSError: the Hub does not give it.
        """
        source = pretrained_model_name_or_path
        if source is None:
            return cast(Self, super().from_pretrained(None, *args, config=config, **options))
        asked = {name: options.pop(name) for name in DOWNLOADING if name in options}
        folder = fetch(source, cls.further_files, **asked)
        given = copy.deepcopy(config) if isinstance(config, AxLSTMConfig) else None
        tensors = read_tensors(folder, given)
        if given is None:
            origin = folder if config is None else config
            given, options = AxLSTMConfig.from_pretrained(origin, return_unused_kwargs=True, **options)
        state = cls._from_file(Found(folder, tensors, given, bool(options.get("ignore_mismatched_sizes"))))
        made = super().from_pretrained(None, *args, config=given, state_dict=state, **options)
        model: Any = made[0] if isinstance(made, tuple) else made
        model.base_model.kept_head = {name: value for name, value in tensors.items() if name.startswith(_PREDICTION)}
        model.name_or_path = model.config.name_or_path = str(source)
        return cast(Self, made)

    @classmethod
    @abstractmethod
    def _from_file(cls, found: Found) -> dict[str, Tensor]:
        """Name a file's tensors as this class does; a class with a head of its own adds that and its labels."""

    @abstractmethod
    def _for_file(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name this class's tensors as a file does, complete with the prediction head of pretraining."""

    def _write(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        tensors = self._for_file(state)
        make_checkpoint(self.config, tensors).save(folder, precision_of(tensors))

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        push_to_hub: bool = False,
        **options: Any,
    ) -> None:
        """Write a folder that `axlstm.load_model` reads, and transformers too.

        Args:
            save_directory: the folder, which is made if it does not exist.
            is_main_process: false writes nothing.
            state_dict: weights in place of the model's own.
            push_to_hub: whether the folder is uploaded, too; ``repo_id`` says where to.

        Raises:
            CheckpointError: weights that are not finite.
        """
        if is_main_process:
            self._write(Path(save_directory), self.state_dict() if state_dict is None else state_dict)
        if push_to_hub:
            self.push_to_hub(options.pop("repo_id", Path(save_directory).name), **options)


class AxLSTMModel(AxLSTMPreTrainedModel):
    """The encoder. Its weights have the names that `axlstm.model.encoder.Encoder` gives them.

    The prediction head of pretraining is no part of it, and goes along from folder to folder unchanged.
    """

    def __init__(self, config: AxLSTMConfig) -> None:
        super().__init__(config)
        encoder = Encoder(config.shape)
        for table in ("_parameters", "_buffers", "_modules"):
            self.__dict__[table].update(encoder.__dict__[table])
        self.gradient_checkpointing = False
        self.kept_head: dict[str, Tensor] = {}
        self.post_init()

    @property
    def _parts(self) -> Encoder:
        """Return itself as what it has the parts of; the configuration has the same fields, too."""
        return cast(Encoder, self)

    def reset_parameters(self) -> None:
        """Draw fresh weights as the release initialises them."""
        Encoder.reset_parameters(self._parts)

    @classmethod
    def _from_file(cls, found: Found) -> dict[str, Tensor]:
        return {name[len(_ENCODER) :]: value for name, value in found.tensors.items() if name.startswith(_ENCODER)}

    def _for_file(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"{_ENCODER}{name}": value for name, value in state.items()} | self.prediction_head()

    def prediction_head(self) -> dict[str, Tensor]:
        """Return the prediction head that goes along, by the names of a file; a fresh one if there was none."""
        if not self.kept_head:
            made = MaskedPatchModel.initialised(self.config.shape).state_dict()
            self.kept_head = {name: value for name, value in made.items() if name.startswith(_PREDICTION)}
        dtype = next(self.parameters()).dtype
        return {name: value.to(dtype) for name, value in self.kept_head.items()}

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **options: Any,
    ) -> AxLSTMOutput:
        """Compute the frames of clips. Each has the numbers that it has alone.

        Args:
            input_values: normalised log-mel ``(B, T, bands)``, from `AxLSTMFeatureExtractor`.
            attention_mask: 1 where a clip is, 0 behind its end ``(B, T)``. None: all of it is real.
            bool_masked_pos: patches that are hidden ``(B, patches)``, for pretraining: those of a moment side by side.
            output_hidden_states: whether the frames after every block are returned, too.
            options: ``return_dict``; all else is not looked at.

        Raises:
            ConfigError: inputs of another shape, or a mask with a gap.
        """
        del options
        shape = self.config.shape
        check_inputs(input_values, attention_mask, shape.mel_bands)
        wants_all = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        batch, length = input_values.shape[:2]
        real = real_frames(input_values, attention_mask, shape.patch_frames)  # (B, T')
        padding = -length % shape.window_frames
        cut = F.pad(input_values, (0, 0, 0, padding)).reshape(-1, shape.window_frames, shape.mel_bands)  # (B W, ., .)
        hidden = None if bool_masked_pos is None else bool_masked_pos.reshape(len(cut), -1)
        chosen = None
        if attention_mask is not None and not torch.compiler.is_compiling():  # windows without sound are left out
            padded = F.pad(real, (0, cut.shape[0] // batch * shape.grid_frames - real.shape[1]))
            chosen = padded.reshape(len(cut), -1).any(dim=1)
            cut, hidden = cut[chosen], None if hidden is None else hidden[chosen]

        def frames(tokens: Tensor) -> Tensor:
            """Lay the tokens of windows out as frames of clips: ``(B, T', F)``, zero where none is real."""
            of_windows = tokens.reshape(len(tokens), shape.grid_frames, -1)
            if chosen is not None:
                everywhere = of_windows.new_zeros(len(chosen), *of_windows.shape[1:])
                of_windows = everywhere.masked_scatter(chosen[:, None, None], of_windows)
            of_clips = of_windows.reshape(batch, -1, of_windows.shape[-1])[:, : real.shape[1]]
            return of_clips * real.unsqueeze(-1).to(of_clips.dtype)

        dtype = self.norm.weight.dtype
        last, states = self._encode(cut.to(dtype), hidden, wants_all)
        out = frames(last)
        count = real.sum(dim=1, keepdim=True).to(out.dtype)  # (B, 1)
        return AxLSTMOutput(
            last_hidden_state=out,
            pooler_output=out.sum(dim=1) / count,
            hidden_states=tuple(frames(state) for state in states) if wants_all else None,
            frame_mask=real,
        )

    def _encode(self, windows: Tensor, hidden: Tensor | None, wants_all: bool) -> tuple[Tensor, list[Tensor]]:
        """Encode windows: tokens ``(N, tokens, D)`` after the final norm, and on request those after every block."""
        first = int(self.config.shape.cls_token)
        x = Encoder.embed_patches(self._parts, windows, hidden)  # (N, S, D)
        states = [x[:, first:]] if wants_all else []
        for block in self.blocks:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(block.__call__, x)
            else:
                x = block(x, self._prepared(block, x)) if isinstance(block, AxLSTMBlock) else block(x)
            if wants_all:
                states.append(x[:, first:])
        return self.norm(x)[:, first:], states

    def _prepared(self, block: AxLSTMBlock, x: Tensor) -> Any:
        """Return a block's weights as they were prepared last, where they may serve again."""
        if torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type) or hasattr(block, "_hf_hook"):
            return None
        return block.layer.prepare(x.shape[1], x.dtype)


def check_inputs(input_values: Tensor, attention_mask: Tensor | None, bands: int) -> None:
    """Refuse inputs that are no log-mel of clips, and masks that are not those of clips with an end.

    Raises:
        ConfigError: naming the shape or the mask.
    """
    if input_values.ndim != 3 or input_values.shape[-1] != bands or 0 in input_values.shape:
        raise ConfigError(
            f"input_values: expected (clips, frames, {bands}), got {tuple(input_values.shape)}; "
            "AxLSTMFeatureExtractor makes them of sound"
        )
    if attention_mask is None or torch.compiler.is_compiling():
        return
    if attention_mask.shape != input_values.shape[:2]:
        raise ConfigError(
            f"attention_mask: expected {tuple(input_values.shape[:2])}, got {tuple(attention_mask.shape)}"
        )
    seen = attention_mask.bool()
    if not bool(seen[:, 0].all()) or bool((seen[:, 1:] & ~seen[:, :-1]).any()):
        raise ConfigError("attention_mask: expected ones from the beginning of each clip to its end, then zeros")


def real_frames(input_values: Tensor, attention_mask: Tensor | None, patch_frames: int) -> Tensor:
    """Tell which frames are real ``(B, T')``, as `axlstm.model.layouts.TimeLayout.frame_count` counts them."""
    batch, length = input_values.shape[:2]
    most = max(1, (length + patch_frames // 2) // patch_frames)
    if attention_mask is None:
        return torch.ones(batch, most, dtype=torch.bool, device=input_values.device)
    counts = (attention_mask.bool().sum(dim=1) + patch_frames // 2) // patch_frames  # (B,)
    return torch.arange(most, device=input_values.device) < counts.clamp_min(1).unsqueeze(1)

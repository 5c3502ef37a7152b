"""Join the encoder with a head: of pretraining, or of a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from axlstm.errors import ConfigError
from axlstm.files import write_atomically
from axlstm.finetuning.begin import Vectors, fit_probe, standardise
from axlstm.finetuning.network import ClipHead
from axlstm.hf.classifier import CLASSIFIER_FILES, calibration, classifier_files, mode_of, read_head
from axlstm.hf.config import AxLSTMConfig
from axlstm.hf.model import AxLSTMModel, AxLSTMPreTrainedModel
from axlstm.hf.saved import Found, make_checkpoint, precision_of
from axlstm.model.patches import patch_targets, random_mask
from axlstm.model.pretraining import MaskedPatchModel
from axlstm.options import Loss, check_choice

_HEAD = "classifier."
Batches = Iterable[Mapping[str, Tensor]]


@dataclass
class AxLSTMForPreTrainingOutput(ModelOutput):
    """The prediction of log-mel values.

    Args:
        loss: ``()``.
        logits: predicted patches ``(B, patches, pixels)``, in units of the input.
        bool_masked_pos: patches that were hidden ``(B, patches)``.
        hidden_states: as of `AxLSTMModel`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    bool_masked_pos: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class AxLSTMForPreTraining(AxLSTMPreTrainedModel):
    """The encoder with the head that predicts the log-mel values of every patch: all that a folder's weights are."""

    def __init__(self, config: AxLSTMConfig) -> None:
        super().__init__(config)
        self.encoder = AxLSTMModel(config)
        with torch.device("meta"):
            shaped = MaskedPatchModel(config.shape).head
        self.head = shaped.to_empty(device=torch.get_default_device())
        self.post_init()

    @classmethod
    def _from_file(cls, found: Found) -> dict[str, Tensor]:
        return dict(found.tensors)

    def _for_file(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(state)

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        output_hidden_states: bool | None = None,
        loss: Loss = "all",
        **options: Any,
    ) -> AxLSTMForPreTrainingOutput:
        """Predict all patches with some of them hidden.

        Args:
            input_values, attention_mask, output_hidden_states: as for `AxLSTMModel`. Patches behind the end of a clip
                have no say.
            bool_masked_pos: patches that are hidden ``(B, patches)``, those of whole windows; None draws half of them.
            loss: mean squared error over all patches, as released, or over the ``"masked"`` ones only.
            options: ``return_dict``; all else is not looked at.

        Raises:
            ConfigError: inputs of another shape, or an unknown loss.
        """
        del options
        check_choice("loss", loss, Loss)
        shape = self.config.shape
        padding = -input_values.shape[1] % shape.window_frames
        padded = F.pad(input_values, (0, 0, 0, padding))  # (B, W frames, bands)
        batch, windows = len(padded), padded.shape[1] // shape.window_frames
        if attention_mask is None:
            attention_mask = input_values.new_ones(input_values.shape[:2], dtype=torch.long)
        if bool_masked_pos is None:
            drawn = random_mask(batch * windows, shape)  # (B W, tokens)
            bool_masked_pos = drawn.reshape(batch, -1).to(input_values.device)
        out = self.encoder(
            padded, F.pad(attention_mask, (0, padding)), bool_masked_pos, output_hidden_states=output_hidden_states
        )
        tokens = out.last_hidden_state.reshape(batch, -1, shape.width)  # (B, W tokens, D)
        prediction = self.head(tokens)
        cut = padded.reshape(-1, shape.window_frames, shape.mel_bands)
        target = patch_targets(cut, shape, False).reshape(prediction.shape)
        error = (prediction.float() - target.float()).square().mean(dim=-1)  # (B, W tokens)
        counts = out.frame_mask.repeat_interleave(shape.grid_bands, dim=1)
        counts = counts & bool_masked_pos.bool() if loss == "masked" else counts
        return AxLSTMForPreTrainingOutput(
            loss=(error * counts).sum() / counts.sum().clamp_min(1),
            logits=prediction,
            bool_masked_pos=bool_masked_pos,
            hidden_states=out.hidden_states,
        )


class AxLSTMForAudioClassification(AxLSTMPreTrainedModel):
    """The encoder with a head for labels of clips: what ``axlstm finetune`` makes, and what can be trained further.

    Its scores are calibrated where a folder says so: softmax or sigmoid of them are the probabilities of
    `axlstm.load_classifier`. The head computes in float32.

    Raises:
        ConfigError: a configuration without labels.
    """

    further_files = CLASSIFIER_FILES
    _keep_in_fp32_modules_strict = ("classifier",)

    def __init__(self, config: AxLSTMConfig) -> None:
        super().__init__(config)
        if not config.labels:
            raise ConfigError("a classifier has no labels: give id2label= (or num_labels=) to its configuration")
        self.num_labels = config.num_labels
        self.encoder = AxLSTMModel(config)
        self.classifier = ClipHead(config.hidden_size, config.num_labels, config.head_pooling, 0.0)
        self.post_init()

    @classmethod
    def _from_file(cls, found: Found) -> dict[str, Tensor]:
        encoder = {name: value for name, value in found.tensors.items() if name.startswith("encoder.")}
        return encoder | {f"{_HEAD}{name}": value for name, value in read_head(found).items()}

    def _for_file(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = {name: value for name, value in state.items() if not name.startswith(_HEAD)}
        return own | self.encoder.prediction_head()

    def _write(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        tensors = self._for_file(state)
        checkpoint = make_checkpoint(self.config, tensors)
        head = {
            name.removeprefix(_HEAD): value.detach().cpu().float() for name, value in state.items() if _HEAD in name
        }
        files = classifier_files(self.config, checkpoint, head)
        checkpoint.save(folder, precision_of(tensors), beside=head)
        for name, content in files.items():
            write_atomically(folder / name, content)

    def fit_head(
        self, train: Iterable[Mapping[str, Tensor]], valid: Iterable[Mapping[str, Tensor]]
    ) -> dict[float, float]:
        """Let the head begin with the best linear probe of the encoder as it is, as ``axlstm finetune`` does.

        Args:
            train, valid: batches as `forward` takes them, with labels, such as those of a trainer's
                ``get_train_dataloader()`` and ``get_eval_dataloader()``. The second ones choose the prior's strength.

        Returns:
            the validation loss of each strength.

        Raises:
            ConfigError: a head that scores single frames, whose labels are not those of clips.
        """
        if self.config.head_pooling is None:
            raise ConfigError("fit_head: the head scores single frames, and batches have labels of clips")
        was_training = self.training
        self.eval()
        of_train, of_valid = (self._vectors(batches) for batches in (train, valid))
        self.train(was_training)
        standardise(self.classifier, of_train)
        self.config.classifier = None  # what was calibrated is gone
        return fit_probe(self.classifier, of_train, of_valid, mode_of(self.config))

    @torch.no_grad()
    def _vectors(self, batches: Batches) -> Vectors:
        """Compute what the head's map is applied to, and targets ``(n, K)``, on the CPU."""
        values, targets = [], []
        for batch in batches:
            mask = batch.get("attention_mask")
            out = self.encoder(batch["input_values"].to(self.device), None if mask is None else mask.to(self.device))
            values.append(self.classifier.pool(out.last_hidden_state.float(), out.frame_mask).cpu())
            labels = batch["labels"].cpu()
            whole = not labels.is_floating_point() and labels.ndim == 1
            targets.append((F.one_hot(labels, self.num_labels) if whole else labels).float().view(len(labels), -1))
        return Vectors(torch.cat(values), torch.cat(targets))

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Score the labels of clips.

        Args:
            input_values, attention_mask, output_hidden_states: as for `AxLSTMModel`.
            labels: numbers of labels ``(B,)``, or of several labels 1 and 0 as floats ``(B, K)``; of a regression, what
                is to be predicted.
            options: ``return_dict``; all else is not looked at.

        Returns:
            ``loss`` if labels are given, ``logits (B, K)``, and ``hidden_states`` on request.

        Raises:
            ConfigError: inputs of another shape.
        """
        del options
        out = self.encoder(input_values, attention_mask, output_hidden_states=output_hidden_states)
        with torch.autocast(input_values.device.type, enabled=False):
            frames = out.last_hidden_state.to(self.classifier.linear.weight.dtype)
            logits = calibration(self.config, self.classifier(frames, out.frame_mask))
        if self.config.head_pooling is None:  # (B, T, K): the highest of each label
            logits = logits.masked_fill(~out.frame_mask.unsqueeze(2), -torch.inf).amax(dim=1)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)

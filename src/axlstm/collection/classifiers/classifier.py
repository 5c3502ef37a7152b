"""Score windows with a trained classifier, and keep it as a folder that is read without executing anything."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from axlstm.bounds import MOST_WEIGHT, check_types, parse_object
from axlstm.checkpoints.description import check_weights, seal_weights
from axlstm.collection.folder import CollectionFolder, EncoderEntry
from axlstm.collection.labels.table import check_name
from axlstm.collection.new_folders import new_folder
from axlstm.embed.window_lengths import Windows
from axlstm.errors import AxlstmError, CheckpointError, ConfigError, DamageError, DataError, name_differences
from axlstm.files import writing
from axlstm.options import HeadMode, check_choice
from axlstm.seals import crc_of_path, object_is_whole, seal_object

if TYPE_CHECKING:
    from axlstm.collection.encoders import WindowEncoder

FORMAT_VERSION = 1
DESCRIPTION, HEAD = "classifier.json", "head.safetensors"
BESIDE = "."
"""The source of an encoder whose weights lie in the classifier's own folder."""

MOST_LABELS = 10_000
MOST_LAYERS = 8
MOST_SIZE = 1 << 16  # of a vector, and of what is between two layers
_MODEL_CONFIG = "config.json"  # of an encoder; what reads those loads torch
_FORMAT = "axlstm classifier"
_BLOCK_ROWS = 4096
_MOST_RULE_MS = 60_000.0
_TYPES = {
    "format": str,
    "version": int,
    "mode": str,
    "labels": list,
    "background": bool,
    "encoder": dict,
    "sizes": list,
    "slope": list,
    "offset": list,
    "thresholds": list,
    "card": dict,
    "head_crc32": str,
}
_ENCODER_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "source": str,
    "fingerprint": str,
    "size": int,
    "window_s": (int, float),
    "hop_s": (int, float),
    "options": dict,
}


@dataclass(frozen=True, eq=False)
class Layer:
    """An affine map: weight ``(out, in)`` and bias ``(out,)``, float32 in a classifier."""

    weight: NDArray[np.floating]
    bias: NDArray[np.floating]


@dataclass(frozen=True)
class FrameRule:
    """The way from probabilities of single frames to events.

    Args:
        median_ms: length of the median filter over time.
        least_ms: length of the shortest event.
    """

    median_ms: float = 0.0
    least_ms: float = 0.0

    def __post_init__(self) -> None:
        for name in ("median_ms", "least_ms"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= _MOST_RULE_MS:
                raise ValueError(f"frames: {name} {value!r:.60}, expected 0 to {_MOST_RULE_MS:g}")


@dataclass(frozen=True, eq=False)
class Classifier:
    """Scores of L labels for windows of one encoder, whose vectors have D values.

    Args:
        labels: their names.
        mode: "multilabel" gives each label a probability of its own, sigmoid(slope * score + offset). "multiclass"
            gives the softmax of these values: of the labels one is heard, or none with ``background``. "regression"
            gives slope * score + offset itself, which is no probability.
        encoder: what makes the vectors; its number is 0.
        mean, deviation: what vectors are standardised with ``(D,)``; a deviation may be infinite, and the dimension has
            no say then.
        layers: affine maps with ReLU between them; the last one gives the scores.
        slope, offset: the calibration of each label ``(L,)``.
        thresholds: probabilities from which on a label counts as heard ``(L,)``.
        card: plain JSON: how it was trained, on what, and how good it is.
        background: of "multiclass", whether there is one more class, which is none of the labels. Its value in the
            softmax is 0, and it has no probability in what `probabilities` returns.
        attention: weighs the frames of a window ``(D,)``, in place of their mean; None for none.
        frames: where it tells labels of single frames, how these become events; None for windows.
    """

    labels: tuple[str, ...]
    mode: HeadMode
    encoder: EncoderEntry
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    layers: tuple[Layer, ...]
    slope: NDArray[np.float64]
    offset: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    card: Mapping[str, Any] = field(default_factory=dict)
    background: bool = False
    attention: NDArray[np.float32] | None = None
    frames: FrameRule | None = None

    def scores(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Score vectors ``(n, D)``: ``(n, L)``, before calibration. A vector with a NaN has scores that are NaN.

        Raises:
            ConfigError: vectors of another size.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.encoder.size:
            raise ConfigError(f"vectors of shape {vectors.shape}: expected (n, {self.encoder.size})")
        scores = np.empty((len(vectors), len(self.labels)), np.float32)
        for begin in range(0, len(vectors), _BLOCK_ROWS):
            values = vectors[begin : begin + _BLOCK_ROWS].astype(np.float32)
            values = (values - self.mean) / self.deviation  # (b, D)
            for layer in self.layers[:-1]:
                values = np.maximum(values @ layer.weight.T + layer.bias, 0)  # (b, out)
            scores[begin : begin + len(values)] = values @ self.layers[-1].weight.T + self.layers[-1].bias
        return scores

    def calibrate(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Turn scores ``(n, L)`` into probabilities ``(n, L)``."""
        values = self.slope * scores.astype(np.float64) + self.offset
        if self.mode == "regression":
            return values
        return sigmoid(values) if self.mode == "multilabel" else softmax(values, self.background)

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Compute the probability of each label for vectors ``(n, D)``: ``(n, L)``.

        Raises:
            ConfigError: as `scores`.
        """
        return self.calibrate(self.scores(vectors))

    def entry_in(self, collection: CollectionFolder) -> EncoderEntry:
        """Find the encoder of a collection whose windows the classifier scores: of the same weights, length and hop.

        Raises:
            ConfigError: the collection has none.
        """
        there = collection.encoders()
        if self.attention is not None or self.frames is not None:
            raise ConfigError(
                f"{collection.folder}: the classifier needs the frames of recordings, and a collection keeps windows: "
                "give it the recordings"
            )
        for entry in there:
            if _windows_of(entry) == _windows_of(self.encoder):
                return entry
        asked = f"{self.encoder.window_s:g} s every {self.encoder.hop_s:g} s by {self.encoder.source}"
        raise ConfigError(
            f"{collection.folder}: no windows of the classifier's encoder ({asked}, fingerprint "
            f"{self.encoder.fingerprint[:16]}); it has "
            + ("; ".join(f"{one.name}: {one.window_s:g} s every {one.hop_s:g} s" for one in there) or "no encoder")
        )

    def load_encoder(self, *, model: str | None = None, device: str = "cpu", **options: Any) -> WindowEncoder:
        """Load what makes the vectors of windows.

        Args:
            model: where it is now, as `axlstm index` takes it; None is where it was when the classifier was trained.
            options: those that do not change the numbers, such as ``batch_windows``.

        Raises:
            ConfigError: it is not there, gives other vectors, or is a Python module that nobody has named here: a
                classifier that somebody else made must not choose what is executed.
        """
        from axlstm.collection.loading import load_again, load_window_encoder
        from axlstm.evaluate.embedding.encoders import BASELINE, Candidate

        if self.frames is not None:
            return self._load_frames(model, device, options)
        entry = self.encoder
        is_code = entry.source != BASELINE and Candidate(entry.source, entry.name).is_module
        if model is None and is_code:
            raise ConfigError(
                f"the classifier's encoder is a Python module, {entry.source}, which is not run unless it is named: "
                "give it as the model"
            )
        if model is None:
            try:
                return self._attending(load_again(entry, device=device, **options))
            except ConfigError as error:
                raise ConfigError(f"{error}; or name the model that the classifier was trained with") from error
        windows = Windows(entry.window_s, entry.hop_s)
        given = {**entry.options, **options}
        encoder = load_window_encoder(
            model, windows, name=entry.name, device=device, going_on=entry.fingerprint, **given
        )
        if encoder.note.fingerprint != entry.fingerprint:
            told = name_differences({"fingerprint": entry.fingerprint}, {"fingerprint": encoder.note.fingerprint})
            raise ConfigError(f"{model}: not the model that the classifier was trained with ({told})")
        return self._attending(encoder)

    def _load_frames(self, model: str | None, device: str, options: Mapping[str, Any]) -> WindowEncoder:
        """Load an encoder that gives single frames; it is always one of axlstm's own."""
        from axlstm.collection.encoders import EncoderNote, FrameWindows
        from axlstm.hub import load_model

        entry = self.encoder
        given = {**entry.options, **options}
        embedder = load_model(model or entry.source, device=device, **given).going_on(entry.fingerprint)
        if embedder.fingerprint != entry.fingerprint:
            told = name_differences({"fingerprint": entry.fingerprint}, {"fingerprint": embedder.fingerprint})
            raise ConfigError(f"{model or entry.source}: not the model that the classifier was trained with ({told})")
        return FrameWindows(embedder, EncoderNote(entry.name, entry.source, entry.fingerprint, entry.size))

    def _attending(self, encoder: WindowEncoder) -> WindowEncoder:
        """Let an encoder pool by the classifier's attention, if there is one."""
        if self.attention is not None:
            import torch

            from axlstm.collection.encoders import EmbedderWindows
            from axlstm.model.pooling import Attention

            assert isinstance(encoder, EmbedderWindows)
            encoder.embedder.pooling = Attention(torch.from_numpy(self.attention))
        return encoder

    def save(self, folder: Path, files: Mapping[str, bytes] | None = None) -> None:
        """Write the classifier into a new folder, whole or not at all.

        Args:
            files: further ones to go in with it, by name.

        Raises:
            ConfigError: the folder is there and holds something.
            WriteError: the disk is full or fails.
        """
        with new_folder(folder) as made, writing(folder):
            for name, data in {**self.files(), **(files or {})}.items():
                (made / name).write_bytes(data)

    def files(self) -> dict[str, bytes]:
        """Return the files that hold the classifier, by name."""
        tensors = {"mean": self.mean, "deviation": self.deviation}
        if self.attention is not None:
            tensors["attention"] = self.attention
        for number, layer in enumerate(self.layers):
            tensors |= {f"{number}.weight": layer.weight, f"{number}.bias": layer.bias}
        content = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
        head = seal_weights(serialise(content, {"format": "np"}))
        described = seal_object(self._describe(f"{zlib.crc32(head):08x}"))
        return {HEAD: head, DESCRIPTION: (json.dumps(described, indent=1) + "\n").encode()}

    def _describe(self, head_crc32: str) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "version": FORMAT_VERSION,
            "mode": self.mode,
            "labels": list(self.labels),
            "background": self.background,
            **({} if self.attention is None else {"attention": True}),
            **({} if self.frames is None else {"frames": asdict(self.frames)}),
            "encoder": {key: value for key, value in asdict(self.encoder).items() if key != "id"},
            "sizes": [len(self.mean), *(len(layer.bias) for layer in self.layers)],
            "slope": self.slope.tolist(),
            "offset": self.offset.tolist(),
            "thresholds": self.thresholds.tolist(),
            "card": dict(self.card),
            "head_crc32": head_crc32,
        }


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute 1 / (1 + exp(-x)) without overflow, and exactly on both sides of zero."""
    shares = np.exp(-np.abs(values))
    return np.where(values >= 0, 1, shares) / (1 + shares)


def softmax(values: NDArray[np.float64], background: bool) -> NDArray[np.float64]:
    """Compute the softmax of values ``(n, L)``; a background is a further value 0, and its share is not returned."""
    if background:
        values = np.concatenate([values, np.zeros((len(values), 1))], axis=1)  # (n, L + 1)
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares[:, :-1] if background else shares


def is_classifier(folder: Path) -> bool:
    """Tell whether a folder says that it is a classifier."""
    return (folder / DESCRIPTION).is_file()


def load_classifier(folder: str | Path) -> Classifier:
    """Read a classifier from its folder.

    Raises:
        DataError: the folder holds none, or one of a newer version of this package.
        DamageError: a file is missing, damaged, or says what no classifier can be.
    """
    folder = Path(folder)
    about = read_description(folder)
    try:
        found = _parse(about)
    except (ValueError, TypeError, OverflowError, AxlstmError) as error:
        raise _damage(folder / DESCRIPTION, str(error)) from error
    if found.encoder.source == BESIDE:
        found = replace(found, encoder=replace(found.encoder, source=str(folder.resolve())))
    return _with_head(found, folder / HEAD, about["sizes"], about["head_crc32"], about.get("attention") is True)


def read_description(folder: Path) -> dict[str, Any]:
    """Read what a classifier's folder says of it, but for its layers.

    Raises:
        DataError, DamageError: as `load_classifier`.
    """
    path = folder / DESCRIPTION
    try:
        about = parse_object(path.read_bytes(), 16 << 20)
        check_types(about, {"format": str, "version": int})
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format'][:60]!r}, expected {_FORMAT!r}")
        if not object_is_whole(about):
            raise ValueError("its checksum does not fit")
    except (FileNotFoundError, NotADirectoryError) as error:
        told = f"{folder}: no classifier ({DESCRIPTION} is not there); axlstm train makes one"
        if (folder / _MODEL_CONFIG).is_file():
            told = f"{folder}: a model that embeds and has no labels (axlstm.load_model); axlstm finetune gives it some"
        raise DataError(told) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _damage(path, str(error)) from error
    if about["version"] > FORMAT_VERSION:
        raise DataError(
            f"{folder}: a classifier of version {about['version']}, and this package knows {FORMAT_VERSION}: "
            "install a newer axlstm"
        )
    return about


def _damage(path: Path, told: str) -> DamageError:
    return DamageError(f"{path}: damaged ({told}); put back a copy of the classifier's folder, or train it again")


def _parse(about: Mapping[str, Any]) -> Classifier:
    """Make a classifier of its description, but for its layers.

    Raises:
        ValueError: something is missing or impossible.
    """
    check_types(about, _TYPES)
    labels = about["labels"]
    if not 1 <= len(labels) <= MOST_LABELS or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{len(labels)} labels, expected 1 to {MOST_LABELS} names")
    if len({check_name(label) for label in labels}) < len(labels):
        raise ValueError("two labels of one name")
    sizes = about["sizes"]
    is_size = [type(size) is int and 1 <= size <= MOST_SIZE for size in sizes]
    if not 2 <= len(sizes) <= MOST_LAYERS + 1 or not all(is_size):
        raise ValueError(f"sizes of layers {str(sizes)[:60]}")
    frames = FrameRule(**about["frames"]) if "frames" in about else None
    encoder = _parse_encoder(about["encoder"], frames is not None)
    if (sizes[0], sizes[-1]) != (encoder.size, len(labels)):
        raise ValueError(f"layers from {sizes[0]} to {sizes[-1]}, expected {encoder.size} to {len(labels)}")
    thresholds = _numbers(about, "thresholds", len(labels))
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise ValueError("thresholds that are no probabilities")
    nothing = np.empty(0, np.float32)
    return Classifier(
        labels=tuple(labels),
        mode=check_choice("mode", about["mode"], HeadMode),
        encoder=encoder,
        mean=nothing,
        deviation=nothing,
        layers=(),
        slope=_numbers(about, "slope", len(labels)),
        offset=_numbers(about, "offset", len(labels)),
        thresholds=thresholds,
        card=about["card"],
        background=about["background"],
        frames=frames,
    )


def _parse_encoder(values: Mapping[str, Any], of_frames: bool) -> EncoderEntry:
    check_types(values, _ENCODER_TYPES)
    if not of_frames:
        Windows(values["window_s"], values["hop_s"])
    elif not 0 < values["hop_s"] == values["window_s"] < math.inf:
        raise ValueError("frames of no length")
    if "\0" in values["source"] or "\0" in values["name"]:
        raise ValueError("an encoder with a zero in its name")
    return EncoderEntry(id=0, **{name: values[name] for name in _ENCODER_TYPES})


def _numbers(about: Mapping[str, Any], name: str, count: int) -> NDArray[np.float64]:
    values = about[name]
    is_number = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    if len(values) != count or not is_number or max(map(abs, values)) > MOST_WEIGHT:
        raise ValueError(f"{name}: expected {count} numbers")
    return np.array(values, np.float64)


def _with_head(classifier: Classifier, path: Path, sizes: Sequence[int], crc32: str, has_attention: bool) -> Classifier:
    """Add the arrays of its file to a classifier.

    Raises:
        DamageError: the file is not there, damaged, of another classifier, or holds values that no classifier has.
    """
    shapes: dict[str, tuple[int, ...]] = {"mean": (sizes[0],), "deviation": (sizes[0],)}
    if has_attention:
        shapes["attention"] = (sizes[0],)
    for number, (before, after) in enumerate(pairwise(sizes)):
        shapes |= {f"{number}.weight": (after, before), f"{number}.bias": (after,)}
    try:
        check_weights(path)
        if crc_of_path(path) != crc32:
            raise ValueError(f"not the one that {DESCRIPTION} was written with")
        with safe_open(path, framework="np") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != shapes:
                raise ValueError("arrays of other names or shapes than the layers'")
            arrays = {name: file.get_tensor(name) for name in shapes}
        for name, array in arrays.items():
            _check_values(name, array)
    except FileNotFoundError as error:
        raise _damage(path, "it is not there") from error
    except (SafetensorError, CheckpointError, OSError, ValueError) as error:
        raise _damage(path, str(error)) from error
    layers = tuple(Layer(arrays[f"{number}.weight"], arrays[f"{number}.bias"]) for number in range(len(sizes) - 1))
    standard = {name: arrays[name] for name in ("mean", "deviation", *(["attention"] if has_attention else []))}
    return replace(classifier, layers=layers, **standard)


def _check_values(name: str, array: NDArray[Any]) -> None:
    if array.dtype != np.float32:
        raise ValueError(f"{name} of {array.dtype}, expected float32")
    if name == "deviation":
        if not (array > 0).all():
            raise ValueError("deviations that are not above 0")
    elif not (np.abs(array) <= MOST_WEIGHT).all():
        raise ValueError(f"{name} with values that are no numbers or beyond {MOST_WEIGHT:g}")


def _windows_of(entry: EncoderEntry) -> tuple[str, float, float, int]:
    return entry.fingerprint, entry.window_s, entry.hop_s, entry.size

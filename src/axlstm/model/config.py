"""Describe a model, and list the published sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from axlstm.errors import ConfigError, name_some
from axlstm.options import Family, check_choice

# What a configuration may ask for; the largest published model is far below.
_MOST = {
    "depth": 1_000,
    "width": 65_536,
    "heads": 4_096,
    "expansion": 64,
    "mel_bands": 4_096,
    "window_frames": 1_000_000,
    "patch_frames": 65_536,
    "patch_bands": 4_096,
    "conv_kernel": 4_096,
    "projection_block": 4_096,
}
_MOST_VALUES = 1 << 33  # log-mel values of a window times channels


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of an encoder over masked log-mel patches; the defaults are the published Tiny AxLSTM.

    A window of ``window_frames`` x ``mel_bands`` is cut into patches of ``patch_frames`` x ``patch_bands``;
    each patch is a token of ``width`` channels, and ``depth`` blocks with ``heads`` heads mix them.

    Raises:
        ConfigError: a value that is out of range or does not divide the one it has to divide.
    """

    family: Family = "axlstm"
    depth: int = 12
    width: int = 192
    heads: int = 4
    expansion: float = 2.0  # AxLSTM: inner width / width; SSAST: hidden width of the MLP / width
    mel_bands: int = 80
    window_frames: int = 200
    patch_frames: int = 4
    patch_bands: int = 16
    cls_token: bool = True
    masked_positions: bool = False  # whether a hidden patch keeps its position (published: no); pretraining only
    conv_kernel: int = 4  # AxLSTM only: taps of the causal convolution before q and k
    projection_block: int = 4  # AxLSTM only: channels per block of the block-diagonal q, k, v maps

    def __post_init__(self) -> None:
        check_choice("family", self.family, Family)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "family":
                continue
            if field.type == "bool":
                if not isinstance(value, bool):
                    raise ConfigError(f"{field.name}={value!r}: expected true or false")
                continue
            kinds = (int, float) if field.name == "expansion" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= _MOST[field.name]:
                kind = "number" if field.name == "expansion" else "whole number"
                limit = f"above zero, up to {_MOST[field.name]}"
                raise ConfigError(f"{field.name}={value!r:.60}: expected a {kind} {limit}")
        object.__setattr__(self, "expansion", float(self.expansion))  # 2 and 2.0 are one model, with one fingerprint
        if self.width % 4:
            raise ConfigError(f"width={self.width}: the position table needs a multiple of 4")
        if self.width * self.expansion != self.inner_width:
            raise ConfigError(f"expansion={self.expansion}: width * expansion must be whole")
        if self.window_frames * self.mel_bands * self.width > _MOST_VALUES:
            raise ConfigError(
                f"window_frames={self.window_frames}, mel_bands={self.mel_bands} and width={self.width}: expected a "
                f"product up to {_MOST_VALUES}"
            )
        self._divides("patch_frames", self.patch_frames, "window_frames", self.window_frames)
        self._divides("patch_bands", self.patch_bands, "mel_bands", self.mel_bands)
        if self.family == "axlstm":
            self._divides("heads", self.heads, "width * expansion", self.inner_width)
            self._divides("projection_block", self.projection_block, "width * expansion", self.inner_width)
        else:
            self._divides("heads", self.heads, "width", self.width)

    @staticmethod
    def _divides(name: str, divisor: int, whole_name: str, whole: int) -> None:
        if whole % divisor:
            raise ConfigError(f"{name}={divisor} does not divide {whole_name}={whole}")

    @property
    def inner_width(self) -> int:
        """Count the channels inside a block: of the mLSTM (AxLSTM) or of the MLP (SSAST)."""
        return int(self.width * self.expansion)

    @property
    def grid_frames(self) -> int:
        """Count the patches along time in one window."""
        return self.window_frames // self.patch_frames

    @property
    def grid_bands(self) -> int:
        """Count the patches along frequency."""
        return self.mel_bands // self.patch_bands

    @property
    def tokens(self) -> int:
        """Count the patches in one window, without the CLS token."""
        return self.grid_frames * self.grid_bands

    @property
    def patch_pixels(self) -> int:
        """Count the log-mel values in one patch, which the prediction head gives per token."""
        return self.patch_frames * self.patch_bands

    @property
    def embedding_size(self) -> int:
        """Return the size of a frame or scene embedding: the tokens of all bands side by side."""
        return self.grid_bands * self.width

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the configuration") -> ModelConfig:
        """Invert `to_dict`. An unknown key is a `ConfigError` that names it."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            names = name_some(key[:80] for key in unknown)
            raise ConfigError(
                f"{where} has unknown keys: {names}; known are {', '.join(sorted(known))}. "
                "It may come from a newer version of axlstm."
            )
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error


# One row a size: depth, width, heads of the transformer. AxLSTM has 4 heads and expansion 2 throughout.
_SIZES = {
    "tiny": (12, 192, 3),
    "small": (12, 384, 6),
    "medium": (12, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
    "huge": (32, 1280, 16),
}

PRESETS = {
    f"axlstm_{size}_200_16x4": ModelConfig(depth=depth, width=width, heads=4)
    for size, (depth, width, _) in _SIZES.items()
} | {
    f"ssast_{size}_200_16x4": ModelConfig(family="ssast", depth=depth, width=width, heads=heads, expansion=4.0)
    for size, (depth, width, heads) in _SIZES.items()
}

SSAST_HEADS_BY_WIDTH = {width: heads for _, width, heads in _SIZES.values()}


def list_models() -> list[str]:
    """List the published sizes, as `load_model` and `create_model` take them."""
    return list(PRESETS)


def short_name(preset: str) -> str:
    """Return the short form of a preset's name: ``axlstm_tiny_200_16x4`` is ``axlstm-tiny``."""
    family, size = preset.split("_")[:2]
    return f"{family}-{size}"


def resolve_preset(name: str) -> str | None:
    """Find the preset of a name, published or short; None if there is none."""
    if name in PRESETS:
        return name
    return next((preset for preset in PRESETS if short_name(preset) == name.lower().replace("_", "-")), None)


def preset_config(name: str, **changes: Any) -> ModelConfig:
    """Find the configuration of a published size, with fields replaced by ``changes``.

    Raises:
        ConfigError: an unknown name (the known ones are listed) or field.
    """
    preset = resolve_preset(name)
    if preset is None:
        raise ConfigError(unknown_model_message(name))
    unknown = sorted(set(changes) - {field.name for field in fields(ModelConfig)})
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: not a field of ModelConfig")
    return replace(PRESETS[preset], **changes)


def unknown_model_message(name: str) -> str:
    """Say which names are known, for somebody whose name is not."""
    shorts = ", ".join(short_name(preset) for preset in PRESETS)
    return (
        f"unknown model {name!r}: expected a model folder, a .safetensors or .pth file, a published run folder, "
        f"a Hub id (owner/name), or one of {shorts} (long form: {next(iter(PRESETS))})"
    )

"""Check the options of an embedder before any weights are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from axlstm.devices import dtype_name, find_device, find_dtype
from axlstm.engines.runtimes import check_engine
from axlstm.errors import ConfigError
from axlstm.options import (
    EMBEDDER_DEFAULTS,
    EmbedderOptions,
    EngineName,
    LayoutName,
    Padding,
    Pooling,
    check_choice,
    refuse_unknown,
)


@dataclass(frozen=True)
class Settings:
    """Checked `EmbedderOptions` with all defaults filled in. Only the model can tell whether it has ``layers``."""

    layout: LayoutName
    device: torch.device
    dtype: torch.dtype
    layers: list[int] | None
    padding: Padding
    pooling: Pooling
    batch_windows: int | None
    engine: EngineName | None


def check_options(options: EmbedderOptions) -> Settings:
    """Fill in the defaults and check every option.

    Raises:
        ConfigError: an unknown option or name, a device that this machine lacks, or an engine that is not installed
            or does not support the device or dtype.
    """
    refuse_unknown(options, EMBEDDER_DEFAULTS)
    filled: EmbedderOptions = {**EMBEDDER_DEFAULTS, **options}
    device, dtype = find_device(filled["device"]), find_dtype(filled["dtype"])
    layers = None if filled["layers"] is None else np.atleast_1d(filled["layers"]).tolist()
    if layers is not None and not (layers and all(isinstance(layer, int) for layer in layers)):
        raise ConfigError(f"layers={filled['layers']!r}: expected one whole number or several, or None")
    batch_windows, engine = filled["batch_windows"], filled["engine"]
    if batch_windows is not None and batch_windows < 1:
        raise ConfigError(f"batch_windows={batch_windows}: expected at least 1")
    if filled["padding"] == "none" and filled["layout"] == "published":
        raise ConfigError(
            "padding='none' needs layout='time': the published layout fills up windows, as the release does"
        )
    if engine not in (None, "auto") and device.type != "cpu":
        raise ConfigError(f"engine={engine!r} computes on the CPU, not on device={str(device)!r}")
    if engine not in (None, "auto", "processes"):
        check_engine(engine, dtype_name(dtype))
    return Settings(
        layout=check_choice("layout", filled["layout"], LayoutName),
        device=device,
        dtype=dtype,
        layers=layers,
        padding=check_choice("padding", filled["padding"], Padding),
        pooling=check_choice("pooling", filled["pooling"], Pooling),
        batch_windows=batch_windows,
        engine=engine,
    )

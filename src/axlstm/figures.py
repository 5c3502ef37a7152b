"""Figures that belong to no window and no global state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.errors import ConfigError
from axlstm.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window and no global state.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('pictures need matplotlib: pip install "axlstm[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)

"""Draw figures of matplotlib as PNG and SVG, without windows and global state."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axlstm.errors import ConfigError
from axlstm.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of ``width`` by ``height`` inches.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('pictures need matplotlib: pip install "axlstm[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically; its folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, png_bytes(figure))


def png_bytes(figure: Figure) -> bytes:
    """Draw the figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def svg_text(figure: Figure) -> str:
    """Draw the figure as an SVG element for a web page."""
    import matplotlib

    buffer = io.StringIO()
    # Text stays text: readable at any size, searchable, and smaller than outlines.
    # The salt takes the place of random names: equal figures give equal bytes.
    settings: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "axlstm"}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]

"""Draw figures of matplotlib as PNG and SVG, without windows and global state."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axlstm.errors import ConfigError, name_some
from axlstm.files import readable_name, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)
_BOXES = "Last Resort"  # matplotlib's font that has a box for every character


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
    with _fonts_for(figure):
        figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def svg_text(figure: Figure) -> str:
    """Draw the figure as an SVG element for a web page."""
    import matplotlib

    buffer = io.StringIO()
    # Text stays text: readable at any size, searchable, and smaller than outlines.
    # The salt takes the place of random names: equal figures give equal bytes.
    settings: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "axlstm"}
    with matplotlib.rc_context(settings), _fonts_for(figure):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def plain_text(name: str) -> str:
    """Return a name for a figure, where matplotlib would read what stands between dollar signs as a formula."""
    return readable_name(name).replace("$", r"\$")


@contextmanager
def _fonts_for(figure: Figure) -> Iterator[None]:
    """Add to each text of a figure installed fonts with the characters that its own font lacks.

    Characters that no font has are drawn as boxes. One line says so, in place of a warning for each.
    """
    from matplotlib.font_manager import findfont, fontManager, get_font
    from matplotlib.text import Text

    def of_font(file: str, characters: set[str]) -> set[str]:
        known = get_font(file).get_charmap()
        return {character for character in characters if ord(character) in known}

    texts = {}
    for text in figure.findobj(Text):
        unusual = {character for character in text.get_text() if not (character.isascii() or character.isspace())}
        if unusual and (lacking := unusual - of_font(findfont(text.get_fontproperties()), unusual)):
            texts[text] = lacking
    lost, families = set[str]().union(*texts.values()), dict[str, str]()
    for font in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.weight != 400, font.name)):
        if lost and not font.name.startswith(_BOXES):
            found = of_font(font.fname, lost)
            families |= dict.fromkeys(found, font.name)
            lost -= found
    for text, lacking in texts.items():
        added = sorted({families[character] for character in lacking & families.keys()})
        text.set_fontfamily([*text.get_fontfamily(), *added])
    if lost:
        logger.warning(
            "no installed font has the characters %s: boxes are drawn for them. Install a font that has them, such as "
            "Noto Sans CJK for Chinese, Japanese and Korean",
            name_some(sorted(lost)),
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        yield

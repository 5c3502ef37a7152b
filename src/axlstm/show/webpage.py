"""Write web pages as single files: tables, figures, pictures and sounds are inside, and nothing else is loaded."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Collection, Sequence
from pathlib import Path

_SOUND_TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}


def page(title: str, parts: Sequence[str]) -> str:
    """Make the whole page; ``parts`` are HTML, ``title`` is text."""
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    last: Sequence[str] = (),
    *,
    bold: Collection[tuple[int, int]] = (),
) -> str:
    """Make a table of text.

    Args:
        last: HTML for a further cell of each row.
        bold: row and column of the cells in bold type.
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = ""
    for i, row in enumerate(rows):
        cells = (f"<b>{html.escape(cell)}</b>" if (i, j) in bold else html.escape(cell) for j, cell in enumerate(row))
        body += f"<tr>{''.join(f'<td>{cell}</td>' for cell in (*cells, *last[i : i + 1]))}</tr>"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(svg: str, name: str) -> str:
    """Show a drawing; screen readers read ``name``."""
    return f'<figure role="img" aria-label="{html.escape(name)}">{svg}</figure>'


def picture(png: bytes, name: str) -> str:
    """Show a PNG; screen readers read ``name``."""
    return f'<figure><img src="{_data_uri(png, "image/png")}" alt="{html.escape(name)}"></figure>'


def player(path: Path) -> str:
    """Show the browser's player for a sound file (wav, flac, ogg or mp3)."""
    return play_sound(path.read_bytes(), _SOUND_TYPES[path.suffix.lower()])


def play_sound(content: bytes, media_type: str) -> str:
    """Show the browser's player for the content of a sound file."""
    return f'<audio controls preload="metadata" src="{_data_uri(content, media_type)}"></audio>'


def commands(text: str) -> str:
    """Show lines that can be copied into a terminal or a program."""
    return f"<pre><code>{html.escape(text)}</code></pre>"


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode('ascii')}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
.wide {{ overflow-x: auto; }}
figure {{ margin: 1rem 0; }}
figure svg, figure img {{ max-width: 100%; height: auto; }}
summary {{ cursor: pointer; }}
audio {{ display: block; width: 100%; height: 2.2rem; margin: 0.4rem 0; }}
td audio {{ width: 18rem; margin: 0; }}
pre {{ background: #f4f4f4; padding: 0.6rem 0.9rem; overflow-x: auto; }}
.notice {{ border-left: 4px solid #d55e00; background: #fdf3ec; padding: 0.6rem 0.9rem; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }}
.cards > section {{ border: 1px solid #ddd; border-radius: 4px; padding: 0.6rem 0.9rem; min-width: 0; }}
.cards h3, .cards p, .cards figure {{ margin: 0.3rem 0; }}
.small {{ font-size: 0.85em; color: #555; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""

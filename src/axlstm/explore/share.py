"""Write a page of a collection that is read without a server: one file, which can be sent to somebody.

It has the map, what labels say, and the sound and spectrogram of some windows. It loads nothing, and its policy lets it
run nothing but the script that is in it, which is known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axlstm.collection.classifiers.examples import find_judged
from axlstm.collection.collection import Collection
from axlstm.collection.labels.table import count_labels
from axlstm.collection.new_folders import check_is_no_source
from axlstm.collection.search.table import WindowTable
from axlstm.collection.stretches import Stretch, encode_sound, read_stretch
from axlstm.errors import AudioError, AxlstmError
from axlstm.explore.bundle import bundle
from axlstm.explore.desk import Desk
from axlstm.explore.pictures import View, draw_spectrogram
from axlstm.explore.places import ChangedError
from axlstm.explore.routes.static import list_page
from axlstm.explore.summary import summarise
from axlstm.explore.views import list_labelled, pack_map, show_new_map
from axlstm.files import write_atomically

ENTRY = "main.js"
MOST_WINDOWS = 60
"""Windows whose sound is inside."""

_MOST_SECONDS = 10.0  # of a longer window, its beginning is played
_MOST_HZ = 24_000
_PICTURE = (480, 160)


def share(desk: Desk, out: Path) -> list[str]:
    """Write the page of a collection as one file, and say which sounds are not in it. A map is drawn if there is none.

    Raises:
        ConfigError: a name that the file cannot have.
        DataError: the collection has no windows.
        WriteError: the disk is full or fails.
    """
    check_is_no_source(out)
    with desk.collection() as collection:
        if desk.map(collection) is None:
            show_new_map(desk, collection)
        data, missing = collect_data(desk, collection)
    write_atomically(out, make_page(data, {name: path.read_text("utf-8") for name, path in _texts()}).encode())
    return missing


def _texts() -> list[tuple[str, Path]]:
    return [(name, path) for name, path in list_page().items() if path.suffix in (".html", ".css", ".js", ".json")]


def collect_data(desk: Desk, collection: Collection) -> tuple[dict[str, Any], list[str]]:
    """Collect what the page shows without a server, and say which recordings could not be read.

    Nothing in it tells where things lie on this disk.
    """
    table = desk.table(collection)
    rows = collection.tables.execute("SELECT id, path, recorded_at, metadata FROM recordings WHERE removed_at IS NULL")
    recordings = {
        str(row["id"]): {
            "path": row["path"],
            "site": collection.metadata_of(row["metadata"]).get("site"),
            "recorded_at": row["recorded_at"],
        }
        for row in rows
    }
    labels = [count.label for count in count_labels(collection)]
    windows, missing = _collect_windows(desk, collection, table, _choose_rows(collection, table, labels))
    about = summarise(desk, collection)
    shown = [{**one, "source": "", "why_not": None} for one in about["encoders"] if one["name"] == about["encoder"]]
    skipped = {"count": 0, "some": []}  # whose reasons have places on this disk
    hidden = {"folder": "", "root": "", "sounds": False, "read_only": True, "job": None, "skipped": skipped, "mark": ""}
    data = {
        "about": {**about, **hidden, "encoders": shown, "classifiers": [], "author": ""},
        "map": base64.b64encode(pack_map(desk, collection)).decode(),
        "recordings": recordings,
        "labelled": {label: list_labelled(desk, collection, label, None) for label in labels},
        "windows": windows,
        "window_s": table.entry.window_s,
    }
    return data, missing


def _choose_rows(collection: Collection, table: WindowTable, labels: Sequence[str]) -> list[int]:
    """Choose the windows to be heard: those with labels first, and others spread over all recordings."""
    labelled = find_judged(collection, table, labels).rows.tolist() if labels else []
    chosen = [
        labelled[place] for place in np.linspace(0, len(labelled) - 1, min(len(labelled), MOST_WINDOWS)).astype(int)
    ]
    spread = np.linspace(0, len(table) - 1, min(len(table), MOST_WINDOWS)).astype(int).tolist()
    return list(dict.fromkeys([*chosen, *spread]))[:MOST_WINDOWS]


def _collect_windows(
    desk: Desk, collection: Collection, table: WindowTable, rows: Sequence[int]
) -> tuple[dict[str, Any], list[str]]:
    """Make pictures and sounds of windows, and say which recordings cannot be read."""
    made: dict[str, Any] = {}
    missing: dict[str, None] = {}
    for row in rows:
        start_s, end_s = table.bounds(row)
        end_s = min(end_s, start_s + _MOST_SECONDS)
        try:
            sound = desk.places.find(collection, int(table.recordings[table.span_of_row(row)]))
            picture = draw_spectrogram(sound.place, View(start_s, end_s, width=_PICTURE[0], height=_PICTURE[1]))
            content = _encode(sound.place, start_s, min(end_s, sound.duration_s))
            desk.places.confirm(sound)
        except (ChangedError, AudioError, OSError) as error:
            missing[str(error)] = None
            continue
        made[str(row)] = {
            "picture": _as_data(picture.png, "image/png"),
            "sound": _as_data(content, "audio/flac"),
            "start_s": start_s,
            "end_s": end_s,
            "low_hz": picture.low_hz,
            "high_hz": picture.high_hz,
        }
    return made, list(missing)


def _encode(place: Path, start_s: float, end_s: float) -> bytes:
    import soxr

    samples, rate_hz = read_stretch(place, Stretch(start_s, end_s))  # (n,)
    if rate_hz > _MOST_HZ:
        samples, rate_hz = soxr.resample(samples, rate_hz, _MOST_HZ), _MOST_HZ
    return encode_sound(samples, rate_hz, "FLAC")


def _as_data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def make_page(data: dict[str, Any], files: dict[str, str]) -> str:
    """Put the files of the page and its data into one.

    Args:
        files: texts of the page by their names.

    Raises:
        AxlstmError: its modules cannot be joined.
    """
    script = bundle({name: text for name, text in files.items() if name.endswith(".js")}, ENTRY)
    sheets = re.findall(r'rel="stylesheet" href="/page/([^"]+)"', files["index.html"])
    style = "\n".join(files[name] for name in sheets)
    if re.search(r"</(script|style)|<!--", script + style, re.IGNORECASE):
        raise AxlstmError("the page's script or style would end its element; write the characters apart")
    data = {**data, "strings": json.loads(files.get("strings.json", "{}"))}
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data: blob:; "
        "media-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    body = re.search(r"<body[^>]*>.*</body>", files["index.html"], re.DOTALL)
    plain = re.sub(r"<script\b[^>]*>.*?</script>", "", body[0], flags=re.DOTALL) if body else "<body></body>"
    opening, rest = plain[: plain.index(">") + 1], plain[plain.index(">") + 1 :].removesuffix("</body>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html.escape(str(data['about']['name']))}</title>\n<style>{style}</style>\n</head>\n{opening}{rest}"
        f'<script type="application/json" id="axlstm-data">{_as_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _as_json(data: dict[str, Any]) -> str:
    """Write JSON for a script element. Names of files and labels can be any text, and none may end the element."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

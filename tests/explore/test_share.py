"""The page as one file, for reading."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from axlstm.cli import main
from axlstm.collection.collection import open as open_collection
from axlstm.errors import ConfigError
from axlstm.explore.bundle import bundle
from tests.explore.test_page import parse_map


def read_shared(path: Path) -> tuple[str, dict[str, Any]]:
    text = path.read_text("utf-8")
    data = re.search(r'<script type="application/json" id="axlstm-data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    return text, json.loads(data[1])


def test_a_shared_page_has_everything_inside_and_may_run_nothing_else(
    page: TestClient, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "</script><script>alert(1)</script><!--"
    given = {"label": hostile, "verdict": "yes", "items": [{"row": 3}, {"row": 4}], "author": "ann"}
    assert page.post("/api/labels", json=given).status_code == 200
    out = place / "birds.html"
    assert main(["explore", str(place / "birds.collection"), "--export", str(out)]) == 0
    assert "can be opened and sent without a server" in capsys.readouterr().out
    text, data = read_shared(out)
    assert "<script>alert(1)" not in text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    script, style = (
        re.search(r"<script>(.*)</script>", text, re.DOTALL),
        re.search(r"<style>(.*)</style>", text, re.DOTALL),
    )
    assert policy is not None
    assert script is not None
    assert style is not None
    allowed = html.unescape(policy[1])
    assert allowed.startswith("default-src 'none'; ")
    assert "unsafe" not in allowed
    assert "http" not in allowed
    for part in (script[1], style[1]):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert data["about"]["read_only"] is True
    assert data["labelled"] == {hostile: [{"row": 3, "verdict": "yes"}, {"row": 4, "verdict": "yes"}]}
    header, columns = parse_map(base64.b64decode(data["map"]))
    assert header["n"] == 131 == len(columns["x"])
    assert {"3", "4"} <= set(data["windows"])
    assert len(data["windows"]) == 60
    assert str(place) not in text  # nothing of the sender's machine


def test_recordings_that_are_gone_are_left_out_of_a_shared_page_and_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_collection(place / "birds.collection") as collection, collection.transaction():
        collection.tables.execute("UPDATE encoders SET source = ?", (str(place / "gone.safetensors"),))
    for file in (place / "sounds").glob("*"):
        if file.is_file() and file.name != "bell.flac":
            file.unlink()
    out = place / "birds.html"
    assert main(["explore", str(place / "birds.collection"), "--export", str(out)]) == 0
    text, data = read_shared(out)
    assert 0 < len(data["windows"]) < 60
    assert "without sound: water_river.ogg is not at" in capsys.readouterr().out
    assert str(place) not in text
    assert data["about"]["author"] == ""


def test_a_shared_page_replaces_no_sound_and_no_file_of_a_collection(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (place / "sounds/bell.flac", place / "birds.collection/page.html"):
        assert main(["explore", str(place / "birds.collection"), "--export", str(out)]) == 1
        assert capsys.readouterr().err
    with open_collection(place / "birds.collection") as collection:
        assert collection.encoders()


def test_modules_are_joined_in_the_order_of_their_imports() -> None:
    files = {
        "main.js": """import { twice as two, CASES } from "./lib/a.js";
import * as b from "./b.js";
out(two(CASES[0]) + b.one());
""",
        "lib/a.js": """import {
  one
} from "../b.js";
export const CASES = [one()];
export function twice(x) {
  return 2 * x;
}
""",
        "b.js": """// export nothing
export async function later() {}
export function one() { return 1; }
export class Kept {}
""",
    }
    joined = bundle(files, "main.js")
    assert "import" not in re.sub("//.*", "", joined)
    assert "export" not in re.sub("//.*", "", joined)
    assert (
        joined.index("return { later, one, Kept };") < joined.index("return { CASES, twice };") < joined.index("out(")
    )
    assert "const { twice: two, CASES } = m1;" in joined
    assert "const b = m0;" in joined


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('import x from "./b.js";', "cannot be joined"),
        ("export default 3;", "cannot be joined"),
        ('const x = import("./b.js");', "cannot be joined"),
        ("export { x };", "cannot be joined"),
        ('import { x } from "./nothing.js";', "no module of the page"),
        ('import { x } from "./main.js";', "in a circle"),
    ],
)
def test_modules_of_other_forms_are_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        bundle({"main.js": text, "b.js": ""}, "main.js")

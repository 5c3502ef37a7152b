"""Text files are UTF-8 on every platform, whatever the locale says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "recipes", "benchmarks", "examples", "release")


def calls(source: Path) -> Iterator[ast.Call]:
    """The calls of a module, but those of an ``open`` that it imports from elsewhere, such as a collection's."""
    nodes = list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
    imported = {name.asname or name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    return (node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") not in imported)


def leaves_encoding_open(call: ast.Call) -> bool:
    """Whether a call opens, reads or writes text in the encoding of the locale."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given:
        return False
    if name == "read_text":
        return not call.args
    if name == "write_text":
        return len(call.args) < 2
    if name != "open" or set(given) - {"mode", "buffering", "errors", "newline"}:  # a tar or zip file's, for instance
        return False
    after_path = call.args if isinstance(call.func, ast.Attribute) else call.args[1:]
    modes = [*after_path[:1], *(value for key, value in given.items() if key == "mode")] or [ast.Constant("r")]
    mode = getattr(modes[0], "value", None)
    return isinstance(mode, str) and set(mode) <= set("rwaxbt+") and "b" not in mode


def test_every_text_file_names_its_encoding() -> None:
    sources = [source for folder in FOLDERS for source in sorted((ROOT / folder).rglob("*.py"))]
    assert len(sources) > 150
    found = [
        f"{source.relative_to(ROOT)}:{call.lineno}"
        for source in sources
        for call in calls(source)
        if leaves_encoding_open(call)
    ]
    assert found == []

"""Join the modules of the page to one script, for a page that is a single file.

The modules keep to a few forms (docs/explore.md): static imports of names or of a whole module from a file beside them,
and exports of declarations. Each becomes a function that is called once and returns what it exports.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from axlstm.errors import ConfigError

_IMPORT = re.compile(
    r"""^import\s+(?P<what>\{[^}]*\}|\*\s+as\s+\w+)\s+from\s+["'](?P<file>\.[^"']+)["'];?[ \t]*$""", re.MULTILINE
)
_EXPORT = re.compile(
    r"^export\s+(?=(?:async\s+function\*?|function\*?|class|const|let)\s+(?P<name>[\w$]+))", re.MULTILINE
)
_ALIAS = re.compile(r"(\w+)\s+as\s+(\w+)")
_LEFT = re.compile(r"^\s*(?:import|export)\b(?!\s*[=:(.])|\bimport\s*\(|\bimport\.meta\b", re.MULTILINE)


def bundle(files: Mapping[str, str], entry: str) -> str:
    """Join modules to one script.

    Args:
        files: texts by their names, such as ``map.js`` or ``vendor/points.js``.
        entry: the module that is run.

    Raises:
        ConfigError: a module that is not there, a circle of modules, or a form that is not known.
    """
    order: list[str] = []
    _visit(files, entry, order, ())
    numbers = {name: f"m{number}" for number, name in enumerate(order)}
    parts = [f"const {numbers[name]} = (() => {{\n{_wrap(files[name], name, numbers)}\n}})();" for name in order]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


def _visit(files: Mapping[str, str], name: str, order: list[str], way: tuple[str, ...]) -> None:
    """Put a module behind those that it imports."""
    if name in way:
        raise ConfigError(f"modules of the page in a circle: {' -> '.join((*way, name))}")
    if name not in files:
        raise ConfigError(f"{name}: no module of the page, imported by {way[-1] if way else 'nobody'}")
    if name in order:
        return
    for found in _IMPORT.finditer(files[name]):
        _visit(files, _resolve(name, found["file"]), order, (*way, name))
    order.append(name)


def _resolve(name: str, file: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), file))


def _wrap(text: str, name: str, numbers: Mapping[str, str]) -> str:
    def take(found: re.Match[str]) -> str:
        of = numbers[_resolve(name, found["file"])]
        what = found["what"]
        if what.startswith("*"):
            return f"const {what.split()[-1]} = {of};"
        renamed = _ALIAS.sub(r"\1: \2", what)
        return f"const {renamed} = {of};"

    exported = [found["name"] for found in _EXPORT.finditer(text)]
    plain = _EXPORT.sub("", _IMPORT.sub(take, text))
    if (left := _LEFT.search(_without_comments(plain))) is not None:
        raise ConfigError(f"{name}: {left[0].strip()!r} is an import or export that cannot be joined")
    return f"{plain}\nreturn {{ {', '.join(exported)} }};"


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|^\s*//.*$", "", text, flags=re.DOTALL | re.MULTILINE)

"""Docstrings of modules and functions begin with a verb: they say what a thing does.

Those of classes and values may begin with a noun, but not with a question word: "What was drawn" names nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import axlstm

SOURCES = Path(axlstm.__file__).parent
QUESTIONS = {"what", "whether", "where", "how", "which", "who", "when", "why"}
NO_VERBS = QUESTIONS | {
    *("a", "an", "the", "this", "these", "each", "every", "everything", "all", "one", "half"),
    *("of", "from", "for", "at", "in", "over", "among", "without", "with"),
    *("names", "number", "size", "length", "bytes", "samples", "frames", "windows", "rows", "blocks", "patches"),
}


def first_words(source: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring's first word of a module and of each function, method and property in it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), text.split()[0]


def is_no_verb(word: str) -> bool:
    return not word[0].isalpha() or word.rstrip(".,:").lower() in NO_VERBS


def test_docstrings_begin_with_a_verb() -> None:
    found = [
        f"{path.relative_to(SOURCES)}: {name}: {word}"
        for path in sorted(SOURCES.rglob("*.py"))
        for name, word in first_words(path.read_text(encoding="utf-8"))
        if is_no_verb(word)
    ]
    assert found == []


def questions(source: str) -> Iterator[str]:
    """Yield the first lines of all docstrings, those of values too, that begin with a question word."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))) if text.split() and text.split()[0].lower() in QUESTIONS:
                yield text.splitlines()[0]


def test_no_docstring_begins_with_a_question_word() -> None:
    found = [
        f"{path.relative_to(SOURCES)}: {line}"
        for path in sorted(SOURCES.rglob("*.py"))
        for line in questions(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def unknown_arguments(source: str) -> Iterator[str]:
    """Yield functions with names that they describe under "Args:" and do not take; a line may describe several."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        described = re.search(r"^Args:\n((?: +.*\n?|\n)+)", ast.get_docstring(node) or "", re.MULTILINE)
        lines = re.findall(r"^ {4}(\w+(?:, \w+)*):", described[1] if described else "", re.MULTILINE)
        taken = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        for name in sorted({name for line in lines for name in line.split(", ")} - taken):
            yield f"{node.name}: {name}"


def test_docstrings_describe_arguments_that_exist() -> None:
    found = [
        f"{path.relative_to(SOURCES)}: {name}"
        for path in sorted(SOURCES.rglob("*.py"))
        for name in unknown_arguments(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_unknown_arguments_are_found() -> None:
    described = "Args:\n        x, w: numbers:\n            of: any kind\n        y: one.\n        v: no.\n"
    source = f'def f(x, *, y, **z):\n    """Add.\n\n    {described}    """'
    assert list(unknown_arguments(source)) == ["f: v", "f: w"]


def test_question_words_are_found() -> None:
    source = 'class C:\n    """What was drawn."""\n\nX = 1\n"""How many.\n\nMore."""\n\nY = 2\n"""The number."""\n'
    assert sorted(questions(source)) == ["How many.", "What was drawn."]


def test_nouns_and_question_words_are_found() -> None:
    methods = 'class C:\n    """A clip."""\n    def g(self):\n        """`x`."""'
    source = '"""Read sound."""\ndef f():\n    """The rate."""\n' + methods
    assert [name for name, word in first_words(source) if is_no_verb(word)] == ["f", "g"]

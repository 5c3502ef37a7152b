"""The table of docs/reliability.md: every command that writes is tried, and the numbers fit together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axlstm.cli import main
from tests.faults.commands import COMMANDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
# `explore` writes as the commands do whose work it offers; tests/explore kills its server.
WRITE_NOTHING = {"models", "info", "status", "stream", "explore", "collection info", "collection verify", "label list"}


def names_below(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """List the commands that the help names below some words, such as ``label add`` below ``label``."""
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    found = re.search(r"^usage: [\w ]+ \[-h\] \{([\w,-]+)\}\n", capsys.readouterr().out)
    names = [" ".join([*words, name]) for name in found[1].split(",")] if found else []
    return [below for name in names for below in names_below(name.split(), capsys)] or [" ".join(words)]


def test_every_command_that_writes_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    names = names_below([], capsys)
    assert {"embed", "label add", "hear probe"} <= set(names)
    tried = {name for name in names if any(f"{command.name} ".startswith(f"{name} ") for command in COMMANDS)}
    assert set(names) - tried - WRITE_NOTHING == set()


def test_the_table_has_a_row_for_each_command_and_its_total() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index("| command | points |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[int(cell) for cell in line.split("|")[2:-1]] for line in table]
    assert len(rows) == len(COMMANDS)
    assert [row for row in rows if row[-2:] != [0, 0]] == []
    (total,) = re.findall(r"a fault was tried, ([\d,]+) in all", text)
    assert sum(sum(row[1:-2]) for row in rows) == int(total.replace(",", ""))

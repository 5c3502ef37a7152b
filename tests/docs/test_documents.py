"""Every command and every line of Python in the documents works, or says in its fence why it cannot run here."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.runner import ROOT, SKIPPING, Block, read_blocks, run_blocks, runnable

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "src/axlstm/weights").glob("*/README.md")),
    *sorted((ROOT / "recipes/open_audio").rglob("README.md")),
]
BLOCKS = {document: read_blocks(document) for document in DOCUMENTS}
EVERY_BLOCK = [block for blocks in BLOCKS.values() for block in blocks]
TO_BE_WRITTEN = {"src/axlstm/model/NAME.py", "src/axlstm/engines/NAME.py", "src/axlstm/pretrain/objectives/loudness.py"}
LANGUAGES = {"bash", "python", "text", ""}
COMMAND = re.compile(r"^\s*(\$ |axlstm |python |pip |make |git |pytest |import |from )", re.MULTILINE)


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _with_slow_blocks() -> list[Path]:
    return [document for document, blocks in BLOCKS.items() if any("slow" in block.notes for block in blocks)]


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if runnable(BLOCKS[path], slow=False)], ids=_name)
def test_the_blocks_of_a_document_run_in_order(document: Path, tmp_path: Path) -> None:
    assert run_blocks(runnable(BLOCKS[document], slow=False), tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("document", _with_slow_blocks(), ids=_name)
def test_the_blocks_of_a_document_run_with_the_slow_ones(document: Path, tmp_path: Path) -> None:
    assert run_blocks(runnable(BLOCKS[document], slow=True), tmp_path) == {}


@pytest.mark.parametrize("block", [block for block in EVERY_BLOCK if block.notes], ids=lambda block: block.place)
def test_a_block_that_does_not_run_says_why(block: Block) -> None:
    assert len(block.notes) == 1, f"{block.place}: one of {SKIPPING} with a reason, not {sorted(block.notes)}"
    [(note, reason)] = block.notes.items()
    assert note in SKIPPING, f"{block.place}: {note!r} is none of {SKIPPING}"
    assert len(reason.split()) >= 2, f"{block.place}: {note} needs a reason, not {reason!r}"
    if note == "no-run":
        pytest.skip(f"{block.place}: {reason}")  # so that pytest lists it


@pytest.mark.parametrize("block", EVERY_BLOCK, ids=lambda block: block.place)
def test_a_block_is_well_formed(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.place}: language {block.language!r}, expected one of {LANGUAGES}"
    if block.language == "python":
        ast.parse(block.source, block.place)
    elif block.language == "bash":
        subprocess.run(["bash", "-n", "-c", block.source], check=True)
    else:
        assert not COMMAND.search(block.source), f"{block.place}: commands stand in a bash or python block"


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if "contributing" in _name(path).lower()], ids=_name)
def test_the_files_that_a_contributor_is_sent_to_exist(document: Path) -> None:
    named = re.findall(r"`((?:src|tests|recipes|release)/[\w./-]+)`", document.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists() and path not in TO_BE_WRITTEN] == []


def _blocks(tmp_path: Path, text: str) -> list[Block]:
    document = tmp_path / "document.md"
    document.write_text(text)
    return [
        Block(ROOT / "x.md", block.line, block.language, block.notes, block.source) for block in read_blocks(document)
    ]


def test_python_blocks_share_names_and_a_folder_with_the_shell(tmp_path: Path) -> None:
    text = "```python\nx = 1\n```\n- a list\n  ```bash\n  echo 2 > two\n  ```\n"
    text += "```python\nassert x + int(open('two').read()) == 3\n```\n"
    assert run_blocks(runnable(_blocks(tmp_path, text), slow=False), tmp_path) == {}


def test_a_failing_command_and_a_failing_line_are_found_and_the_rest_runs(tmp_path: Path) -> None:
    text = "```bash\nfalse | cat\n```\n```python\nraise ValueError('no')\n```\n```bash\ntest -e recordings\n```\n"
    failures = run_blocks(runnable(_blocks(tmp_path, text), slow=False), tmp_path)
    assert list(failures) == ["x.md:1", "x.md:4"]
    assert "ValueError: no" in failures["x.md:4"]


def test_warnings_are_not_errors_in_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    text = "```bash\npython -c 'import warnings; warnings.warn(\"x\")'\n```\n"
    text += "```python\nimport warnings; warnings.warn('x')\n```\n"
    assert run_blocks(runnable(_blocks(tmp_path, text), slow=False), tmp_path) == {}


def test_fences_say_what_runs(tmp_path: Path) -> None:
    text = (
        '```bash slow="takes long"\na\n```\n```bash no-run="needs a bird"\nb\n```\n```text\nc\n```\n```python\nd\n```\n'
    )
    blocks = _blocks(tmp_path, text)
    assert [block.source for block in runnable(blocks, slow=False)] == ["d\n"]
    assert [block.source for block in runnable(blocks, slow=True)] == ["a\n", "d\n"]
    assert blocks[1].notes == {"no-run": "needs a bird"}

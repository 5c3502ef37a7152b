"""Programs that were written for the last release go on, or the commit that breaks them says so in release/api."""

from __future__ import annotations

from pathlib import Path

import pytest

import axlstm
from release.api import FOLDER, ROOT, breakages, public_names, write_stubs


def test_nothing_that_the_last_release_had_is_broken() -> None:
    assert list(breakages()) == [], "mend it; or, where it is meant: python -m release api --write, and CHANGELOG.md"


def test_the_interface_to_compare_with_is_of_this_version() -> None:
    stub = (FOLDER / "axlstm.pyi").read_text(encoding="utf-8")
    assert f"__version__ = '{axlstm.__version__}'" in stub, "a new version: python -m release api --write"


def test_every_public_name_was_written(tmp_path: Path) -> None:
    write_stubs(tmp_path)
    assert {file.stem for file in tmp_path.iterdir()} == set(public_names())
    text = (tmp_path / "axlstm.pyi").read_text(encoding="utf-8")
    assert [name for name in axlstm.__all__ if f" {name}" not in text and f"{name} =" not in text] == []


EDITS = {
    "embed/embedder.py": ("def embed_batch(self, clips:", "def embed_batch(self, sounds:"),
    "embed/live.py": ("class EmbeddingStream", "class OtherStream"),  # not public: no page of the API has it
    "hub.py": ('source: str | os.PathLike[str] = "axlstm-tiny", *,', "source: str | os.PathLike[str], *,"),
    "mlstm/api.py": ("def backends(", "def forms("),
    "samples/__init__.py": ("def sample_path(name: str)", "def sample_path(name: str, kind: str)"),
    "options.py": ('"raven", "audacity", "kaleidoscope"', '"raven", "audacity"'),
}
"""By file: what stands there, and what becomes of it."""


def test_what_breaks_is_found_and_what_is_new_is_not(tmp_path: Path) -> None:
    for source in sorted((ROOT / "src/axlstm").rglob("*.py")):
        text = source.read_text(encoding="utf-8")
        there, becomes = EDITS.get(source.relative_to(ROOT / "src/axlstm").as_posix(), ("", ""))
        assert there in text
        copy = tmp_path / source.relative_to(ROOT / "src")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text.replace(there, becomes) if there else text, encoding="utf-8")
    with (tmp_path / "axlstm/samples/__init__.py").open("a", encoding="utf-8") as module:
        module.write("\n\ndef further(name: str) -> str:\n    return name\n")
    assert sorted(breakages(sources=tmp_path)) == [
        "axlstm.mlstm: `backends`: *Public object was removed*",
        "axlstm.options.DetectionFormat: choice 'kaleidoscope' was removed",
        "axlstm.options.LabelFormat: choice 'kaleidoscope' was removed",
        "axlstm.samples: `sample_path(kind)`: *Parameter was added as required*",
        "axlstm: `Embedder.embed_batch(clips)`: *Parameter was removed*",
        "axlstm: `Embedder.embed_batch(sounds)`: *Parameter was added as required*",
        "axlstm: `load_model(source)`: *Parameter is now required*",
    ]


def test_a_folder_without_stubs_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no stubs of a release; write them with"):
        list(breakages(tmp_path))

"""Bring pages into the site that do not lie in docs/, and let links between files of the repository work in it.

Documents keep the links that work in the repository. A link to a document becomes one to its page. Any other file that
a document links to is copied into the site, at its path in the repository.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "start.md",
    "src/axlstm/weights/axlstm-tiny/README.md": "model.md",
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Documents outside docs/, by path in the repository, and their pages. Those of recipes/ keep their paths."""

API = {
    "axlstm": ["axlstm"],
    "collection": ["axlstm.collection", "axlstm.collection.folder.CollectionFolder", "axlstm.collection.detections"],
    "training": [
        "axlstm.data.prepare.prepare",
        "axlstm.data.config.PrepareConfig",
        "axlstm.data.taught.write_known_targets",
        "axlstm.pretrain.loop.pretrain",
        "axlstm.pretrain.config",
        "axlstm.finetuning.config",
        "axlstm.training.config",
    ],
    "evaluate": [
        "axlstm.evaluate.pipeline",
        "axlstm.evaluate.pipeline.evaluate_models",
        "axlstm.evaluate.pipeline.choose_models",
        "axlstm.evaluate.pipeline.embed_models",
        "axlstm.evaluate.pipeline.probe_folders",
    ],
    "hear": [
        "axlstm.hear",
        "axlstm.hear.load_model",
        "axlstm.hear.get_timestamp_embeddings",
        "axlstm.hear.get_scene_embeddings",
    ],
    "hf": ["axlstm.hf"],
    "adapters": [
        "axlstm.adapters.mteb",
        "axlstm.adapters.hoplite",
        "axlstm.adapters.xares",
        "axlstm.adapters.s3prl",
        "axlstm.adapters.bacpipe",
        "axlstm.adapters.avex",
        "axlstm.adapters.opensoundscape",
    ],
    "mlstm": ["axlstm.mlstm"],
    "files": ["axlstm.store.formats.read_records", "axlstm.samples"],
    "options": ["axlstm.options"],
    "errors": ["axlstm.errors"],
}
"""Pages of the API, and the modules and names on each."""

LINK = re.compile(r'(?P<before>\]\(|\bsrc=")(?P<path>[^)"#\s:]+)(?P<after>(#[^)"\s]*)?[)"])')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Link to the repository at the foot of pages, where the variable REPOSITORY_URL names it."""
    if url := os.environ.get("REPOSITORY_URL"):
        config.extra["social"] = [{"icon": "fontawesome/brands/git-alt", "link": url, "name": "The repository"}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside docs/, the pages of the API, and the files that documents link to."""
    for path in [*PAGES, *(file.relative_to(ROOT).as_posix() for file in sorted(ROOT.glob("recipes/**/README.md")))]:
        files.append(File.generated(config, PAGES.get(path, path), content=(ROOT / path).read_text(encoding="utf-8")))
    for name, objects in API.items():
        files.append(File.generated(config, f"api/{name}.md", content=api_page(objects)))
    linked = {
        target
        for page in files.documentation_pages()
        for link in LINK.finditer(page.content_string)
        if (ROOT / (target := target_of(link["path"], page))).is_file()
    }
    for path in sorted(linked):
        if address_of(path) not in files.src_uris:
            files.append(File.generated(config, address_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Let links to other files of the repository lead to where these are in the site."""

    def moved(link: re.Match[str]) -> str:
        target = target_of(link["path"], page.file)
        if not (ROOT / target).is_file():
            return link[0]  # mkdocs warns of it
        there = posixpath.relpath(address_of(target), posixpath.dirname(page.file.src_uri) or ".")
        return link["before"] + there + link["after"]

    return LINK.sub(moved, markdown)


def target_of(link: str, page: File) -> str:
    """Return the path in the repository of what a relative link of a page leads to."""
    document = next((path for path, uri in PAGES.items() if uri == page.src_uri), None)
    if document is None:
        document = page.src_uri if page.generated_by else f"docs/{page.src_uri}"
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), link))


def address_of(path: str) -> str:
    """Return where a file of the repository is in the site, before it is rendered."""
    named = path if posixpath.splitext(path)[1] else f"{path}.txt"  # so that a server calls it a text
    return PAGES.get(path, named.removeprefix("docs/"))


def api_page(objects: Sequence[str]) -> str:
    """Write a page of the API: what mkdocstrings makes of modules and names. Its title is in the navigation."""
    lines: list[str] = []
    for path in objects:
        if source := source_of(path):
            level = 2 if lines else 1
            lines += [f"::: {path}", "    options:", "      members: []", f"      heading_level: {level}", ""]
        for name in [f"{path}.{name}" for name in public_names(source)] if source else [path]:
            lines += [f"::: {name}", "    options:", f"      toc_label: {name.rpartition('.')[2]}", ""]
    return "\n".join(lines)


def source_of(name: str) -> Path | None:
    """Return the file of a module; None for the name of anything else."""
    path = ROOT / "src" / name.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def public_names(source: Path) -> list[str]:
    """Read which names of a module are public, functions first; nothing is imported.

    Those are the names in ``__all__``; or else its classes, and then its choices, such as ``Literal["mean", "max"]``.
    """
    classes, choices = [], []
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names: list[str] = ast.literal_eval(value)
                return sorted(names, key=lambda name: (name[0] == "_", name.endswith("Error"), name[0].isupper(), name))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(id="Literal"))):
                choices.append(name)
            case ast.ClassDef(name=name) if name[0] != "_":
                classes.append(name)
    return [*classes, *choices]

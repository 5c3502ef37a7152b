"""The public names and signatures of the last release, and what has broken since.

They lie in ``release/api``, one file of stubs for a module, and not behind a tag: a shallow clone and a source
archive have no tags, and a change of the interface shows in the diff that makes it. griffe compares; what is public is
what the pages of the API show (``docs/site/hooks.py``).
"""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "release" / "api"
_SITE = runpy.run_path(str(ROOT / "docs/site/hooks.py"))
_METHODS = ("__init__", "__call__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__")
_MARKS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}


def public_names() -> dict[str, list[str]]:
    """List what is public, by module, in alphabetical order."""
    names: dict[str, set[str]] = {}
    for path in [path for paths in _SITE["API"].values() for path in paths]:
        if source := _SITE["source_of"](path):
            names.setdefault(path, set()).update(_SITE["public_names"](source))
        else:
            module, _, name = path.rpartition(".")
            names.setdefault(module, set()).add(name)
    return {module: sorted(names[module]) for module in sorted(names) if names[module]}


def load_package(sources: Path = ROOT / "src") -> griffe.Object | griffe.Alias:
    """Read the package's sources without running them."""
    loader = griffe.GriffeLoader(search_paths=[sources])
    package = loader.load("axlstm")
    loader.resolve_aliases(implicit=True, external=False)
    return package


def write_stubs(folder: Path = FOLDER, sources: Path = ROOT / "src") -> None:
    """Write what is public now as the interface to compare with."""
    package = load_package(sources)
    for file in folder.glob("*.pyi"):
        file.unlink()
    for module, names in public_names().items():
        there = _find(package, module)
        stubs = [_stub(there[name]) for name in names]
        (folder / f"{module}.pyi").write_text("\n".join(stubs), encoding="utf-8")


def breakages(folder: Path = FOLDER, sources: Path = ROOT / "src") -> Iterator[str]:
    """Yield what a program that was written for the last release may stumble over.

    Raises:
        FileNotFoundError: the folder has no stubs.
    """
    files = sorted(folder.glob("*.pyi"))
    if not files:
        raise FileNotFoundError(f"{folder}: no stubs of a release; write them with: python -m release api --write")
    package = load_package(sources)
    for file in files:
        old = griffe.visit(file.stem, file, file.read_text(encoding="utf-8"))
        try:
            new = _find(package, file.stem)
        except KeyError:
            yield f"{file.stem}: module was removed"
            continue
        now = griffe.Module(file.stem)
        now.members.update(_defined(new, old.members))
        for found in griffe.find_breaking_changes(old, now):
            yield f"{file.stem}: {found.explain(griffe.ExplanationStyle.MARKDOWN).removeprefix('- ')}"
        yield from _lost_choices(old, now)


def _defined(module: griffe.Object | griffe.Alias, names: Iterable[str]) -> Iterator[tuple[str, griffe.Object]]:
    """Yield what stands behind names of a module, where it is defined. griffe passes over names that are imported."""
    for name in names:
        with suppress(KeyError, griffe.AliasResolutionError):
            member = module.members[name]
            yield name, member.final_target if isinstance(member, griffe.Alias) else member


def _lost_choices(old: griffe.Module, new: griffe.Module) -> Iterator[str]:
    """Yield choices, such as one of ``Literal["mean", "max"]``, that are there no more. griffe compares no values."""
    for name, member in old.members.items():
        today = new.members.get(name)
        if isinstance(member, griffe.Attribute) and isinstance(today, griffe.Attribute):
            lost = _choices(str(member.value)) - _choices(str(today.value))
            yield from (f"{old.path}.{name}: choice {choice!r} was removed" for choice in sorted(lost))


def _choices(value: str) -> set[str]:
    match ast.parse(value, mode="eval").body:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=chosen):
            return {str(node.value) for node in ast.walk(chosen) if isinstance(node, ast.Constant)}
    return set()


def _find(package: griffe.Object | griffe.Alias, path: str) -> griffe.Object | griffe.Alias:
    """Find a module by its path, which begins with the package's name."""
    return package[path.partition(".")[2]] if "." in path else package


def _stub(thing: griffe.Object | griffe.Alias, indent: str = "") -> str:
    """Write a class, a function or a value as a stub; of a class, what is public."""
    target = thing.final_target if isinstance(thing, griffe.Alias) else thing
    if isinstance(target, griffe.Class):
        heads = [f"{indent}@{decorator.value}" for decorator in target.decorators]
        bases = f"({', '.join(map(str, target.bases))})" if target.bases else ""
        members = [member for name, member in target.members.items() if _shown(name, member)]
        body = [_stub(member, f"{indent}    ") for member in members] or [f"{indent}    ...\n"]
        return "\n".join([*heads, f"{indent}class {thing.name}{bases}:", ""]) + "".join(body)
    if isinstance(target, griffe.Function):
        heads = [f"{indent}@{decorator.value}" for decorator in target.decorators]
        returns = f" -> {target.returns}" if target.returns is not None else ""
        return "\n".join([*heads, f"{indent}def {thing.name}({_parameters(target)}){returns}: ...", ""])
    assert isinstance(target, griffe.Attribute)
    if "property" in target.labels:
        kind = f" -> {target.annotation}" if target.annotation is not None else ""
        return f"{indent}@property\n{indent}def {thing.name}(self){kind}: ...\n"
    annotation = f": {_type(target.annotation)}" if target.annotation is not None else ""
    if target.value is not None and "instance-attribute" not in target.labels:
        return f"{indent}{thing.name}{annotation} = {target.value}\n"
    return f"{indent}{thing.name}{annotation or ' = ...'}\n"


def _type(annotation: str | griffe.Expr) -> str:
    """Write a type without the text that ``Annotated`` adds to it."""
    match annotation:
        case griffe.ExprSubscript(canonical_name="Annotated", slice=griffe.ExprTuple(elements=[kind, *_])):
            return str(kind)
    return str(annotation)


def _shown(name: str, member: griffe.Object | griffe.Alias) -> bool:
    return not member.is_alias and (name in _METHODS or not name.startswith("_"))


def _parameters(function: griffe.Function) -> str:
    """Write the parameters of a function as its source has them."""
    written: list[str] = []
    kinds = [parameter.kind for parameter in function.parameters]
    for index, parameter in enumerate(function.parameters):
        kind = kinds[index]
        if kind is griffe.ParameterKind.keyword_only and not any(word.startswith("*") for word in written):
            written.append("*")
        annotation = f": {_type(parameter.annotation)}" if parameter.annotation is not None else ""
        variadic = kind in _MARKS
        default = f" = {parameter.default}" if parameter.default is not None and not variadic else ""
        written.append(f"{_MARKS.get(kind, '')}{parameter.name}{annotation}{default}")
        if kind is griffe.ParameterKind.positional_only and kinds[index + 1 : index + 2] != [kind]:
            written.append("/")
    return ", ".join(written)

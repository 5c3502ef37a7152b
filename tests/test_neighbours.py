"""The table of neighbours: what is measured, that sizes are whole, and what is missing is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="memory of processes is measured as Unix has it")

from axlstm.errors import ConfigError
from benchmarks.neighbour_process import install_mib, main
from benchmarks.neighbours import COMMAND, all_neighbours, make_neighbour_table, neighbours, show
from benchmarks.recordings import write_folder
from benchmarks.report import RESULTS

COMMITTED: dict[str, Any] = json.loads((RESULTS / "neighbours.json").read_bytes())


def test_an_encoder_is_measured_in_a_process_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.neighbours.save", lambda *_: pytest.fail("a part of the table is not kept"))
    assert neighbours(files=2, seconds=1.0, rounds=1, only=("logmel", COMMAND)) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == ["| encoder", f"| {COMMAND}", "| logmel"]


def test_the_whole_folder_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_folder(tmp_path / "sounds", 3, 1.0)
    heard: list[int] = []

    class Counting:
        hop_s = 0.01

        def embed(self, clips: list[Any], rate_hz: int) -> None:
            assert rate_hz == 16_000
            heard.extend(map(len, clips))

    (neighbour,) = (neighbour for neighbour in all_neighbours() if neighbour.name == "logmel")
    monkeypatch.setattr(type(neighbour), "load", lambda _: Counting())
    taken = main("logmel", paths[0].parent)
    assert heard == [16_000] * 4  # the first one twice: once to be ready
    assert taken["cpu_s"] > 0
    assert taken["peak_mib"] > 50


def test_an_encoder_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXLSTM_ENCODERS", str(tmp_path / "empty"))
    paths = write_folder(tmp_path / "sounds", 1, 1.0)
    assert main("resemblyzer", paths[0].parent).keys() == {"not installed"}


def test_a_size_is_that_of_all_that_is_needed(tmp_path: Path) -> None:
    alone = install_mib("numpy", None)
    (tmp_path / "weights.bin").write_bytes(bytes(2**20))
    assert install_mib("numpy", tmp_path) == pytest.approx(alone + 1)
    assert alone + 40 < install_mib("axlstm", None)  # pyarrow at least
    assert alone > 100  # torch


def test_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="files=1: expected at least 2"):
        neighbours(files=1)
    with pytest.raises(ConfigError, match="only=wav2vec9: expected names of axlstm embed, axlstm-tiny"):
        neighbours(only=("wav2vec9",))


def test_every_neighbour_has_a_row_or_a_reason() -> None:
    names = [COMMAND, *(neighbour.name for neighbour in all_neighbours())]
    assert sorted([*COMMITTED["rows"], *COMMITTED["missing"]]) == sorted(names)
    assert show(COMMITTED).count("\n") == make_neighbour_table().count("\n") - 1 == len(COMMITTED["rows"]) + 1

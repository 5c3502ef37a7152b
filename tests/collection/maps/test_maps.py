"""The map of windows: neighbours, their places, and that equal windows give equal maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from axlstm.cli import main
from axlstm.collection.maps import neighbours as looking
from axlstm.collection.maps.draw import place_vectors
from axlstm.collection.maps.kept import map_path, read_map
from axlstm.collection.maps.neighbours import find_neighbours
from axlstm.collection.maps.tsne import attract, repel_exactly, repel_on_grid
from axlstm.collection.search.table import WindowTable
from tests.collection.vectors import add_encoder, fill, make_collection


def clusters(count: int, of: int, size: int = 16, seed: int = 0) -> torch.Tensor:
    """Vectors around some centres: those of one centre follow one another."""
    drawn = torch.Generator().manual_seed(seed)
    centres = torch.randn(of, size, generator=drawn) * 2
    return (centres.repeat_interleave(count // of, dim=0) + torch.randn(count, size, generator=drawn) * 0.3).float()


@pytest.mark.parametrize("spread", [1e-4, 0.1, 1.0, 3.0])
def test_the_repulsion_on_a_grid_is_that_of_all_pairs(spread: float) -> None:
    places = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * spread
    exact, found = repel_exactly(places), repel_on_grid(places)
    assert float((found - exact).norm() / exact.norm()) < 0.015


def test_the_attraction_is_that_of_its_formula() -> None:
    drawn = torch.Generator().manual_seed(0)
    places, neighbours = torch.randn(30, 2, generator=drawn), find_neighbours(clusters(30, 3), 4, lambda _: None)
    shares = torch.zeros(30, 30)
    shares[torch.arange(30)[:, None], neighbours] = 1
    shares = (shares + shares.T) / (2 * 30 * 4)
    assert float(shares.sum()) == pytest.approx(1)
    away = places[:, None] - places
    wanted = (shares[..., None] * away / (1 + (away**2).sum(dim=2, keepdim=True))).sum(dim=1)
    torch.testing.assert_close(attract(neighbours, places), wanted)


def test_neighbours_in_cells_are_nearly_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clusters(3000, 30)
    exact = find_neighbours(vectors, 10, lambda _: None)
    assert not (exact == torch.arange(3000)[:, None]).any()
    monkeypatch.setattr(looking, "_MOST_EXACT", 100)
    told: list[float] = []
    found = find_neighbours(vectors, 10, told.append)
    assert not (found == torch.arange(3000)[:, None]).any()
    kept = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(exact.numpy(), found.numpy(), strict=True)])
    assert kept > 0.95
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("count", [120, 900])
def test_what_is_alike_lies_together(count: int) -> None:
    vectors, told = clusters(count, 6), []
    places = place_vectors(vectors, told.append)
    assert places.shape == (count, 2)
    assert bool(torch.isfinite(places).all())
    near = find_neighbours(places, 5, lambda _: None)
    own = torch.arange(count) // (count // 6)
    assert float((own[near] == own[:, None]).float().mean()) > 0.97
    assert told == sorted(told)
    torch.testing.assert_close(place_vectors(vectors), places)


def test_many_windows_are_placed_by_a_sample_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axlstm.collection.maps.draw._SAMPLE", 600)
    vectors = clusters(1800, 6)
    places = place_vectors(vectors)
    near = find_neighbours(places, 5, lambda _: None)
    own = torch.arange(1800) // 300
    assert float((own[near] == own[:, None]).float().mean()) > 0.97


@pytest.mark.parametrize("vectors", [torch.zeros(50, 8), torch.eye(4), torch.randn(3, 1)])
def test_windows_that_are_all_alike_or_few_get_places(vectors: torch.Tensor) -> None:
    assert bool(torch.isfinite(place_vectors(vectors)).all())


def test_the_command_draws_the_map_of_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds") as collection:
        command = ["collection", "map", str(collection.folder)]
        assert main(command) == 1
        assert "no windows of made yet; index recordings first" in capsys.readouterr().err
        fill(collection)
        assert main(command) == 0
        captured = capsys.readouterr()
        table = WindowTable(collection, collection.encoder())
        assert f"a map of {len(table)} windows of made" in captured.out
        assert "drawing the map  100/100" in captured.err
        drawn = read_map(collection.folder, table)
        assert drawn is not None
        assert drawn.lacking == 0
        content = map_path(collection.folder, table.entry).read_bytes()
        assert main(command) == 0
        assert map_path(collection.folder, table.entry).read_bytes() == content  # equal windows, equal maps
        add_encoder(collection, 8, "other")
        assert main(command) == 1
        assert "made, other" in capsys.readouterr().err
        assert main([*command, "--encoder", "made"]) == 0


def test_a_map_that_cannot_be_kept_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with make_collection(tmp_path / "made.collection", tmp_path / "sounds") as collection:
        fill(collection)
        (collection.folder / "cache").write_bytes(b"no folder")
        assert main(["collection", "map", str(collection.folder)]) == 1
        assert "cache: cannot be written" in capsys.readouterr().err


def test_drawing_ends_when_its_progress_says_so() -> None:
    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place_vectors(clusters(300, 3), stop)

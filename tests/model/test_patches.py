"""Patches, positions and masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axlstm.errors import ConfigError
from axlstm.model.config import ModelConfig
from axlstm.model.patches import (
    from_patches,
    patch_targets,
    position_table,
    random_mask,
    to_patches,
    undo_patch_normalisation,
)

CONFIG = ModelConfig()


def test_token_and_pixel_order_by_definition() -> None:
    windows = torch.arange(200 * 80.0).reshape(1, 200, 80)
    patches = to_patches(windows, CONFIG)
    for token, pixel in [(0, 0), (0, 17), (1, 0), (7, 63), (249, 63)]:
        time, band = divmod(token, 5)
        frame, offset = divmod(pixel, 16)
        assert patches[0, token, pixel] == windows[0, 4 * time + frame, 16 * band + offset]


def test_patches_are_the_published_targets(golden: dict) -> None:
    windows = torch.from_numpy(golden["train/images"])[:, 0]
    np.testing.assert_array_equal(to_patches(windows, CONFIG), golden["train/target"])


@pytest.mark.parametrize("shape", [{}, {"patch_frames": 10, "patch_bands": 8}, {"window_frames": 96}])
def test_from_patches_inverts(shape: dict) -> None:
    config = ModelConfig(**shape)
    windows = torch.randn(2, config.window_frames, 80)
    assert torch.equal(from_patches(to_patches(windows, config), config), windows)


def test_windows_of_another_size_are_refused() -> None:
    for frames, bands in ((199, 80), (204, 80), (0, 80), (200, 64)):
        expected = rf"expected \(batch, 200 or fewer by 4, 80\), got \(1, {frames}, {bands}\)"
        with pytest.raises(ConfigError, match=expected):
            to_patches(torch.zeros(1, frames, bands), CONFIG)
    assert to_patches(torch.zeros(1, 12, 80), CONFIG).shape == (1, 15, 64)


def test_normalised_targets_can_be_undone() -> None:
    config = ModelConfig(depth=1, width=32, heads=2)
    windows = torch.randn(2, 200, 80, generator=torch.Generator().manual_seed(0)) * 3 + 5
    targets = patch_targets(windows, config, normalise_targets=True)
    torch.testing.assert_close(targets.mean(-1), torch.zeros(2, 250), atol=1e-5, rtol=0)
    torch.testing.assert_close(targets.std(-1), torch.ones(2, 250), atol=1e-5, rtol=0)
    torch.testing.assert_close(undo_patch_normalisation(targets, windows, config), to_patches(windows, config))
    assert torch.equal(patch_targets(windows, config, normalise_targets=False), to_patches(windows, config))


def test_position_table_by_definition() -> None:
    table = position_table(CONFIG)
    assert table.shape == (251, 192)
    assert (table[0] == 0).all()
    for token in (0, 13, 249):
        time, band = divmod(token, 5)
        for i in (0, 5, 47):
            rate = 10000.0 ** (-i / 48)
            expected = [np.sin(band * rate), np.cos(band * rate), np.sin(time * rate), np.cos(time * rate)]
            np.testing.assert_allclose(table[1 + token, [i, 48 + i, 96 + i, 144 + i]], expected, atol=1e-6)
    assert position_table(ModelConfig(cls_token=False)).shape == (250, 192)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.8])
def test_masks_hide_the_asked_share_in_every_row(ratio: float) -> None:
    mask = random_mask(16, CONFIG, ratio, generator=torch.Generator().manual_seed(1))
    assert mask.shape == (16, 250)
    assert (mask.sum(dim=1) == 250 - int(250 * (1 - ratio))).all()


def test_masks_are_random_and_repeatable() -> None:
    def draw(seed: int) -> torch.Tensor:
        return random_mask(4, CONFIG, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert not torch.equal(draw(1)[0], draw(1)[1])


def test_inverse_blocks_leave_squares_of_neighbours_visible() -> None:
    generator = torch.Generator().manual_seed(0)
    blocks, single = (random_mask(8, CONFIG, 0.8, kind, generator) for kind in ("inverse-blocks", "unstructured"))
    assert (blocks.sum(1) == single.sum(1)).all()  # as many as are asked for
    assert not torch.equal(blocks[0], blocks[1])

    def neighbours(mask: torch.Tensor) -> float:
        """The share of visible patches whose next patch in time is visible too."""
        visible = ~mask.unflatten(1, (CONFIG.grid_frames, CONFIG.grid_bands))
        return float((visible[:, 1:] & visible[:, :-1]).sum() / visible.sum())

    assert neighbours(single) < 0.3
    assert neighbours(blocks) > 0.6


def test_timestep_masks_hide_all_bands_of_a_time() -> None:
    mask = random_mask(8, CONFIG, 0.5, "timestep", torch.Generator().manual_seed(0))
    columns = mask.reshape(8, 50, 5)
    assert (columns == columns[..., :1]).all()
    assert (columns[..., 0].sum(dim=1) == 25).all()


def test_masks_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="'blocks': expected one of unstructured, timestep"):
        random_mask(1, CONFIG, 0.5, "blocks")  # type: ignore[arg-type]
    for ratio in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="mask ratio"):
            random_mask(1, CONFIG, ratio)

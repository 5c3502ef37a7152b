"""Groups are never divided, folds are alike, and the kind of groups is chosen by a rule that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axlstm.collection.classifiers.examples import find_judged
from axlstm.collection.classifiers.folds import find_groups, make_folds
from axlstm.collection.collection import Collection
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError
from tests.collection.classifiers.made import label_birds, make_birds


@pytest.mark.parametrize("seed", range(20))
def test_folds_hold_whole_groups_and_each_has_every_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 12, 150)
    classes = (rng.random(150) < 0.2 + 0.3 * (groups % 3 == 0)).astype(np.int64)
    folds = make_folds(classes, groups, 2, seed)
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1
    with_yes = len(np.unique(groups[classes == 1]))
    assert folds.max() + 1 == min(5, with_yes)
    for fold in range(folds.max() + 1):
        assert 0 < classes[folds == fold].sum() < classes.sum()
    np.testing.assert_array_equal(folds, make_folds(classes, groups, 2, seed))


def test_other_seeds_make_other_folds() -> None:
    groups = np.arange(60) // 3
    classes = np.arange(60) % 2
    assert len({tuple(make_folds(classes, groups, 2, seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("classes", "groups", "count"),
    [([0, 1, 0, 1], [0, 0, 0, 0], 2), ([0, 0, 1, 1], [0, 1, 2, 2], 2), ([0, 0, 0], [0, 1, 2], 2)],
)
def test_a_class_in_one_group_leaves_one_fold(classes: list[int], groups: list[int], count: int) -> None:
    assert make_folds(np.array(classes), np.array(groups), count).tolist() == [0] * len(classes)


def test_a_class_in_one_group_does_not_keep_others_from_folds() -> None:
    classes = np.array([0, 1, 0, 1, 0, 1, 2])
    assert make_folds(classes, np.array([0, 0, 1, 1, 2, 2, 2]), 3).max() == 2


def test_many_examples_have_three_folds() -> None:
    assert make_folds(np.arange(4000) % 2, np.arange(4000) // 10, 2).max() == 2


@pytest.fixture
def birds(tmp_path: Path) -> Collection:
    return make_birds(tmp_path, recordings=12)


def test_sites_are_groups_if_each_label_is_at_three(birds: Collection) -> None:
    label_birds(birds, 12, robins=False)
    with birds:
        table = WindowTable(birds, birds.encoder())
        judged = find_judged(birds, table, ["wren"])
        groups = find_groups(birds, table, judged)
        assert (groups.kind, groups.names) == ("site", ("s0", "s1", "s2", "s3"))
        assert set(groups.of(table, judged.rows).tolist()) == {0, 1, 2, 3}
        days = find_groups(birds, table, judged, "day")
        assert days.names == ("2024-05-01", "2024-05-02", "2024-05-03")
        assert len(find_groups(birds, table, judged, "recording").names) == 12


def test_recordings_are_groups_if_labels_are_at_two_sites(birds: Collection) -> None:
    label_birds(birds, 2, robins=False)
    with birds:
        table = WindowTable(birds, birds.encoder())
        groups = find_groups(birds, table, find_judged(birds, table, ["wren"]))
        assert (groups.kind, groups.why) == ("recording", "labels at fewer than 3 sites")
        assert groups.names == ("00.wav", "01.wav")
        assert (groups.of(table, np.arange(len(table))) == -1).sum() == 100  # windows of recordings without labels


def test_recordings_without_a_site_are_told_if_sites_are_asked_for(birds: Collection) -> None:
    label_birds(birds, 12, robins=False)
    with birds:
        birds.tables.execute("UPDATE recordings SET metadata = '{}', recorded_at = NULL WHERE id = 3")
        table = WindowTable(birds, birds.encoder())
        judged = find_judged(birds, table, ["wren"])
        assert find_groups(birds, table, judged).why == "a recording with labels has no site"
        for kind in ("site", "day"):
            with pytest.raises(ConfigError, match=rf"1 recordings with labels have no {kind} \(02.wav\).*--metadata"):
                find_groups(birds, table, judged, kind)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="group='year': expected one of recording, site, day"):
            find_groups(birds, table, judged, "year")  # type: ignore[arg-type]


def test_a_copy_is_of_the_group_of_its_recording(birds: Collection) -> None:
    label_birds(birds, 12, robins=False)
    with birds:
        table = WindowTable(birds, birds.encoder())
        judged = find_judged(birds, table, ["wren"])
        digest = birds.tables.execute("SELECT digest FROM recordings WHERE path = '03.wav'").fetchone()[0]
        birds.tables.execute("UPDATE recordings SET digest = ? WHERE path = '07.wav'", (digest,))
        names = find_groups(birds, table, judged, "recording").names
        assert names == tuple(f"{number:02d}.wav" for number in range(12) if number != 7)

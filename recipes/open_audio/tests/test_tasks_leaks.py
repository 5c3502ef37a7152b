"""What tasks test on, as ``used.csv`` tells it, is not in the shards in any copy."""

from __future__ import annotations

from pathlib import Path

from recipes.open_audio.leaks import USED, leaks_by_use
from recipes.open_audio.tasks.build import USED_COLUMNS, table_of
from recipes.open_audio.tests.test_tasks_plans import row_of


def test_a_mixture_of_what_the_shards_hold_in_a_copy_is_a_leak(tmp_path: Path) -> None:
    base = "usr/share/kajongg/voices"
    rows = [row_of("kajongg", f"{base}/female1/{name}.ogg", cluster) for cluster, name in enumerate(["b1", "b2", "b3"])]
    copy = row_of("festvox-ru", "usr/wav/copy.wav", 1)
    used = [
        dict.fromkeys(USED_COLUMNS, "") | {"task": "t-v1-full", "path": row.path, "tested": tested}
        for row, tested in zip(rows, [1, 1, 0], strict=True)
    ]
    (tmp_path / USED).write_bytes(table_of(used, USED_COLUMNS))
    task = tmp_path / "t-v1-full"
    everything = [*rows, copy]
    assert leaks_by_use(everything, {rows[2].path}, [task]) == []
    assert leaks_by_use(everything, {copy.path}, [task]) == [
        f"t-v1-full: tests on {rows[1].path}, and the shards hold {copy.path}: one recording"
    ]
    assert "not in the manifest: make the tasks again" in leaks_by_use([*rows[1:], copy], set(), [task])[0]
    assert leaks_by_use(everything, {copy.path}, [tmp_path / "other" / "t"]) == []

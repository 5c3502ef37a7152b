"""Turn raw audio into shards: ``axlstm prepare``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from axlstm.cli.parts import Parts, run_parts, wants_parts
from axlstm.data.config import PrepareConfig
from axlstm.options import PART_DEFAULTS

if TYPE_CHECKING:
    from axlstm.parts.drive import Report

_DEFAULTS = PrepareConfig()


def prepare(
    paths: Positional[tuple[str, ...]],
    config: Annotated[PrepareConfig, arg(name="")] = _DEFAULTS,
    processes: int | None = None,
    parts: Parts = PART_DEFAULTS,
) -> int:
    """Turn sound files into shards for pretraining.

    Formats and rates may be mixed. Exact duplicates, silence, short clips and what cannot be read are listed in
    SHARDS/skipped.jsonl; entries of folders that are not sound are counted. Interrupted, the same command goes on
    where it stopped.

    With --runner, workers make records in parts, and the shards are written when all parts are done (docs/scale.md).

    Args:
        paths: AUDIO... SHARDS: sound files, folders, CSV or parquet manifests (columns path, and any of start, end,
            label, group); and last the folder to write shards into. With --runner also URLs, and tar and zip files with
            sound in them.
        processes: workers; all cores by default.
    """
    from axlstm.cli.progress import Progress as ProgressLine
    from axlstm.data.index import INDEX_NAME
    from axlstm.data.prepare import Progress
    from axlstm.data.prepare import prepare as write_shards
    from axlstm.errors import ConfigError
    from axlstm.parts.opening import work_folder
    from axlstm.remote import is_url

    *sources, last = paths or (".",)
    shards = Path(last)
    if not sources:
        raise ConfigError("expected AUDIO... SHARDS: sound files or folders, and last the folder to write shards into")
    if shards.is_file():
        raise ConfigError(f"{shards}: the last path is the folder to write shards into, and this is a file")
    if wants_parts(parts) and not (shards / INDEX_NAME).exists():
        from axlstm.data.planned import plan_prepare

        place = parts["part_folder"] or work_folder(last)
        plan = partial(plan_prepare, sources, shards, place, config=config)
        return run_parts(last, parts, "cpu", plan, "files")
    if urls := [name for name in paths if is_url(name)]:
        raise ConfigError(f"{urls[0]}: a URL needs parts: add --runner processes, ray or slurm")
    with ProgressLine("files") as line:

        def show(progress: Progress) -> None:
            note = (
                f"{progress.audio_seconds / 3600:.2f} h of audio  {progress.records} records  "
                f"{progress.skipped} skipped  {progress.hours_per_minute:.2f} h/min"
            )
            line.update(progress.items_done, progress.items, note)

        index = write_shards(list(map(Path, sources)), shards, config, processes=processes, on_progress=show)
    return _tell(shards, index)


def tell_parts(out: str, report: Report) -> int:
    """Account for the shards that were made of parts; returns the exit status."""
    return _tell(Path(out), report.gathered)


def _tell(shards: Path, index: Mapping[str, Any]) -> int:
    from axlstm.audio.find import describe_not_sound
    from axlstm.data.index import INDEX_NAME
    from axlstm.files import readable_name

    for split, content_of in index["splits"].items():
        records, hours, count = content_of["records"], content_of["hours"], len(content_of["shards"])
        print(f"{split:6} {records:8} records  {hours:8.2f} h  {count} shards")
    for reason, count in sorted(index["skipped"].items()):
        print(f"skipped {count:7} {reason}")
    if not_sound := index.get("not_sound"):
        print(describe_not_sound(not_sound))
    print(f"wrote {readable_name(shards / INDEX_NAME)}")
    return 0

"""Turn raw audio into shards: ``axlstm prepare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.data.config import PrepareConfig

_DEFAULTS = PrepareConfig()


def prepare(
    paths: Positional[tuple[Path, ...]],
    config: Annotated[PrepareConfig, arg(name="")] = _DEFAULTS,
    processes: int | None = None,
) -> int:
    """Turn sound files into shards for pretraining.

    Formats and rates may be mixed. Exact duplicates, silence, short clips and what cannot be read are listed in
    SHARDS/skipped.jsonl; entries of folders that are not sound are counted. Interrupted, the same command goes on
    where it stopped.

    Args:
        paths: AUDIO... SHARDS: sound files, folders, CSV or parquet manifests (columns path, and any of start, end,
            label, group); and last the folder to write shards into.
        processes: workers; all cores by default.
    """
    from axlstm.audio.find import describe_not_sound
    from axlstm.cli.progress import Progress as ProgressLine
    from axlstm.data.prepare import Progress
    from axlstm.data.prepare import prepare as write_shards
    from axlstm.errors import ConfigError
    from axlstm.files import readable_name

    *sources, shards = paths or (Path(),)
    if not sources:
        raise ConfigError("expected AUDIO... SHARDS: sound files or folders, and last the folder to write shards into")
    if shards.is_file():
        raise ConfigError(f"{shards}: the last path is the folder to write shards into, and this is a file")
    with ProgressLine("files") as line:

        def show(progress: Progress) -> None:
            note = (
                f"{progress.audio_seconds / 3600:.2f} h of audio  {progress.records} records  "
                f"{progress.skipped} skipped  {progress.hours_per_minute:.2f} h/min"
            )
            line.update(progress.items_done, progress.items, note)

        index = write_shards(sources, shards, config, processes=processes, on_progress=show)
    for split, content_of in index["splits"].items():
        records, hours, count = content_of["records"], content_of["hours"], len(content_of["shards"])
        print(f"{split:6} {records:8} records  {hours:8.2f} h  {count} shards")
    for reason, count in sorted(index["skipped"].items()):
        print(f"skipped {count:7} {reason}")
    if not_sound := index.get("not_sound"):
        print(describe_not_sound(not_sound))
    print(f"wrote {readable_name(shards / 'index.json')}")
    return 0

"""``axlstm prepare``: raw audio to shards."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from axlstm.options import Content, Grouping, RecordPrecision


def prepare(
    paths: Positional[tuple[Path, ...]],
    content: Content = "logmel",
    dtype: RecordPrecision = "float16",
    record_seconds: float = 10.0,
    min_seconds: float = 0.5,
    silence_dbfs: float = -60.0,
    held_out: float = 0.02,
    grouping: Grouping = "file",
    shard_records: int = 1000,
    seed: int = 0,
    processes: int | None = None,
) -> int:
    """Turn sound files into shards for pretraining.

    Formats and rates may be mixed. Exact duplicates, silence and short clips are dropped and listed in
    SHARDS/skipped.jsonl. Interrupted, the same command goes on where it stopped.

    Args:
        paths: AUDIO... SHARDS: sound files, folders, CSV or parquet manifests (columns path, and any of start, end,
            label, group); and last the folder to write shards into.
        content: log-mel, ready to be read; or 16 kHz FLAC, for other front ends: larger and slower to read.
        dtype: precision of stored log-mel.
        record_seconds: longer files are cut into records of this length.
        min_seconds: shorter records are dropped.
        silence_dbfs: records whose peak lies below are dropped.
        held_out: share of the items kept for validation, by group.
        grouping: what belongs together where no manifest says: a file, or all of a folder.
        shard_records: records in one shard.
        seed: of the order in the shards, and of the groups held out.
        processes: workers; all cores by default.
    """
    from axlstm.cli.progress import Progress as ProgressLine
    from axlstm.data.config import PrepareConfig
    from axlstm.data.prepare import Progress
    from axlstm.data.prepare import prepare as write_shards
    from axlstm.errors import ConfigError
    from axlstm.files import readable_name

    *sources, shards = paths or (Path(),)
    if not sources:
        raise ConfigError("expected AUDIO... SHARDS: sound files or folders, and last the folder to write shards into")
    if shards.is_file():
        raise ConfigError(f"{shards}: the last path is the folder to write shards into, and this is a file")
    config = PrepareConfig(
        content=content,
        dtype=dtype,
        record_seconds=record_seconds,
        min_seconds=min_seconds,
        silence_dbfs=silence_dbfs,
        held_out=held_out,
        grouping=grouping,
        shard_records=shard_records,
        seed=seed,
    )
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
    print(f"wrote {readable_name(shards / 'index.json')}")
    return 0

"""Write a frozen encoder's embeddings of shards, as targets for pretraining: ``axlstm teach``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from axlstm.options import TeachUnit


def teach(
    shards: Positional[Path],
    encoder: Annotated[str, arg(name="with")],
    out: Annotated[Path, arg(aliases=["-o"])],
    each: TeachUnit = "frame",
    hop_ms: float | None = None,
    stretch_seconds: float = 2.0,
    device: str = "cpu",
) -> int:
    """Write a frozen encoder's embeddings of every record, as targets for axlstm pretrain.

    Interrupted, the same command goes on where it stopped. Records that cannot be embedded are listed in
    OUT/skipped.jsonl.

    Args:
        shards: folder that axlstm prepare wrote. For shards of log-mel, the sound files that they were made from must
            still be there.
        encoder: an axlstm model; logmel; or a HEAR-API module, as path/to/file.py or module:NAME, with @WEIGHTS.
        out: folder for the embeddings, for --objective.teachers.folders.
        each: keep frame embeddings, or a scene embedding of each stretch of the record.
        hop_ms: average neighbouring frames so that one is kept for about this time; all by default.
        stretch_seconds: length of a stretch for scenes; stretches overlap by half.
        device: of the encoder.
    """
    from axlstm.cli.progress import Progress
    from axlstm.files import readable_name
    from axlstm.teach import TeachConfig
    from axlstm.teach import teach as write_embeddings

    config = TeachConfig(each=each, hop_ms=hop_ms, stretch_seconds=stretch_seconds)
    with Progress("records") as line:

        def show(done: int, records: int, skipped: int) -> None:
            line.update(done, records, f"{skipped} skipped")

        index = write_embeddings(shards, encoder, out, config, device=device, on_progress=show)
    print(
        f"{readable_name(out)}: {index['records'] - index['skipped']} records, {index['frames']} embeddings of size "
        f"{index['size']}, one every {index['hop_ms']:g} ms"
    )
    if index["skipped"]:
        print(f"  skipped {index['skipped']} ({readable_name(out / 'skipped.jsonl')})")
    return 0

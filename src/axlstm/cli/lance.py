"""Write the embeddings of many recordings into a LanceDB table: ``axlstm lance``."""

from __future__ import annotations

from tyro.conf import Positional

from axlstm.cli.progress import Progress


def lance(embeddings: Positional[str], out: Positional[str]) -> int:
    """Write a folder of embeddings into a LanceDB table with an index, which axlstm search takes (docs/scale.md).

    Mean and deviation of each dimension are taken out of the vectors. The same command makes an index that is missing.
    Example: axlstm lance s3://results/2026 s3://results/2026.lance

    Args:
        embeddings: folder that axlstm embed wrote parts to, with --window-s or without; a path or a URL.
        out: folder of the database, a path or a URL.
    """
    from axlstm.errors import ConfigError
    from axlstm.files import readable_name
    from axlstm.parts.opening import open_folder
    from axlstm.parts.plan import read_plan
    from axlstm.store.lance import write_lance
    from axlstm.store.vectors import VectorSet

    folder = open_folder(embeddings)
    plan = read_plan(folder)
    if plan is None:
        raise ConfigError(f"{embeddings}: no parts there; expected a folder that axlstm embed wrote")
    with Progress("rows") as progress:
        summary = write_lance(VectorSet(folder, plan), out, progress.advance)
    told = "with an IVF-PQ index" if summary.is_indexed else "without an index, since there are few"
    print(f"{readable_name(out)}: {summary.rows} rows, {told}")
    return 0

"""``axlstm evaluate``: embed, probe and report in one command."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from axlstm.cli.hear import Out, embed_all, probe_all, report_all
from axlstm.options import ProbePrecision, ProtocolName


def evaluate(
    models: Positional[tuple[str, ...]],
    tasks: Path,
    out: Out,
    seeds: int = 10,
    protocol: ProtocolName = "published",
    exact: bool = False,
    device: str = "cpu",
    precision: ProbePrecision = "auto",
    threads: int = 1,
) -> int:
    """Evaluate models on HEAR tasks: embed, probe, report. Interrupted runs go on.

    Args:
        models: axlstm models; logmel; HEAR-API modules, as path/to/file.py or module:NAME, with @WEIGHTS.
        tasks: a task or a folder of tasks.
        out: a folder for embeddings, results and the report.
        seeds: 0 to SEEDS - 1.
        protocol: which probes are tried.
        exact: one probe after another with hear-eval-kit's random numbers.
        device: of models and batched probes.
        precision: of the batched probes' products.
        threads: of the batched probes on the CPU.
    """
    from axlstm.errors import ConfigError

    if not models:
        raise ConfigError("no models given: name at least one, such as axlstm-tiny or logmel")
    failed = embed_all(list(models), tasks, out / "embeddings", None, device)
    results = out / "results" / (f"{protocol}-exact" if exact else protocol)
    failed |= probe_all(out / "embeddings", results, seeds, protocol, exact, device, precision, threads)
    report_all((results,), out / "report")
    return 1 if failed else 0

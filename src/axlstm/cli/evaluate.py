"""Embed, probe and report in one command: ``axlstm evaluate``."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from axlstm.cli.embed import Revision
from axlstm.cli.hear import Encoder, Out, Poolings, print_summary, report_failures
from axlstm.cli.progress import Progress
from axlstm.options import ENCODER_DEFAULTS, ProbePrecision, ProtocolName


def evaluate(
    models: Positional[tuple[str, ...]],
    tasks: Path,
    out: Out,
    seeds: int = 10,
    protocol: ProtocolName = "published",
    exact: bool = False,
    precision: ProbePrecision = "auto",
    threads: int = 1,
    pooling: Poolings = ("mean",),
    revision: Revision = None,
    encoder: Encoder = ENCODER_DEFAULTS,
) -> int:
    """Evaluate models on HEAR tasks: embed, probe, report. An interrupted command goes on when it is given again.

    Args:
        models: axlstm models; logmel; HEAR-API modules, as path/to/file.py or module:NAME, with @WEIGHTS. The
            device is for models and batched probes; the other options of embedding are for axlstm's own models.
        tasks: a task or a folder of tasks.
        out: folder for embeddings, results and the report.
        seeds: number of probe seeds: 0 to SEEDS - 1.
        protocol: which probes are tried.
        exact: one probe after another with hear-eval-kit's random numbers.
        precision: of the batched probes' products.
        threads: of the batched probes on the CPU.
    """
    from axlstm.evaluate.pipeline import EvaluationConfig, choose_models, evaluate_models

    chosen = choose_models(models, "", pooling, revision, **encoder)
    device = str(encoder.get("device", "cpu"))
    config = EvaluationConfig(protocol, seeds, exact, device, precision, threads)
    with Progress() as progress:
        done = evaluate_models(chosen, tasks, out, config, progress.on_progress)
    if done.summary is not None and done.report is not None:
        print_summary(done.summary, done.report)
    return report_failures(done.failures)

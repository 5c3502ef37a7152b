"""``axlstm evaluate``: embed, probe and report in one command."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from axlstm.cli.hear import Out, changed_options, print_summary, report_failures
from axlstm.cli.progress import Progress
from axlstm.options import EngineName, LayoutName, Pooling, Precision, ProbePrecision, ProtocolName


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
    layout: LayoutName = "time",
    dtype: Precision = "float32",
    layers: tuple[int, ...] = (),
    pooling: tuple[Pooling, ...] = ("mean",),
    engine: EngineName | None = None,
) -> int:
    """Evaluate models on HEAR tasks: embed, probe, report. An interrupted command goes on when it is given again.

    Args:
        models: axlstm models; logmel; HEAR-API modules, as path/to/file.py or module:NAME, with @WEIGHTS.
        tasks: a task or a folder of tasks.
        out: folder for embeddings, results and the report.
        seeds: number of probe seeds: 0 to SEEDS - 1.
        protocol: which probes are tried.
        exact: one probe after another with hear-eval-kit's random numbers.
        device: of models and batched probes.
        precision: of the batched probes' products.
        threads: of the batched probes on the CPU.
        layout: order of an axlstm model's frames.
        dtype: precision of an axlstm model.
        layers: hidden states of an axlstm model to embed with, in place of the last layer's output.
        pooling: of an axlstm model's frames to a clip's embedding. Several share one run of the model and are
            compared; those that are not the mean are called MODEL-POOLING.
        engine: computes an axlstm model on a CPU in place of torch: processes, openvino or onnxruntime.
    """
    from axlstm.evaluate.pipeline import EvaluationConfig, choose_models, evaluate_models

    chosen = choose_models(models, "", pooling, **changed_options(layout, dtype, layers, engine))
    config = EvaluationConfig(protocol, seeds, exact, device, precision, threads)
    with Progress() as progress:
        done = evaluate_models(chosen, tasks, out, config, progress.on_progress)
    if done.summary is not None and done.report is not None:
        print_summary(done.summary, done.report)
    return report_failures(done.failures)

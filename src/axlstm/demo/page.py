"""Write the demo's page."""

from __future__ import annotations

import math
import shlex
from html import escape

from axlstm import __version__
from axlstm.demo.probing import CLIP_SECONDS, TASK_NAME, Probes
from axlstm.demo.recordings import Recording
from axlstm.demo.training import NAME, Training
from axlstm.embed.embedder import Embedder
from axlstm.evaluate.embedding.encoders import BASELINE
from axlstm.evaluate.reporting.figures import draw_confusion, draw_scores
from axlstm.evaluate.reporting.statistics import Scores, sum_confusions
from axlstm.model.config import resolve_preset
from axlstm.pretrain.figures import loss_figure
from axlstm.pretrain.reconstruct import Reconstruction
from axlstm.samples import Sample, Stroke, sample_path, strokes
from axlstm.show import webpage
from axlstm.show.figures import png_bytes, svg_text

_LICENCES = {
    "CC0-1.0": ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "CC-BY-3.0": ("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
}
_COPY = "python -c \"import shutil, axlstm.samples as s; shutil.copytree(s.sample_path('bell').parent, 'recordings')\""


def demo_page(
    embedder: Embedder,
    model: str,
    recordings: list[Recording],
    training: Training,
    reconstruction: tuple[Sample, Reconstruction],
    probes: Probes,
    seconds: float,
) -> str:
    """Show everything the demo did, as one HTML page with sounds and figures inside.

    Args:
        model: the source of the embedder, for the commands.
        seconds: that the demo took.
    """
    parts = [
        "<h1>axlstm demo</h1>",
        f"<p>Everything on this page was computed in {seconds:.0f} s on this machine's processor, from recordings that "
        f"come with axlstm {escape(__version__)}. Below each part stands what to type. The commands take sounds from a "
        "folder called recordings: put your own there, or these:</p>",
        webpage.commands(_COPY),
        _weights_notice(embedder),
        *_recordings_parts(embedder, model, recordings),
        *_training_parts(model, training),
        *_reconstruction_parts(embedder, model, training, *reconstruction),
        *_probes_parts(embedder, model, training, probes),
    ]
    return webpage.page("axlstm demo", parts)


def _weights_notice(embedder: Embedder) -> str:
    name = escape(embedder.name)
    size = f"{embedder.parameter_count / 1e6:.1f} million parameters"
    if embedder.trained:
        return f"<p>The weights: <b>{name}</b>, trained, {size} with the prediction head.</p>"
    return (
        f'<p class="notice"><b>The weights are random.</b> {name} ({size} with the prediction head) has not been '
        "trained: embeddings, neighbours and scores show what such an encoder keeps of the spectrum, not what one "
        "learns. Weights that have been trained, for a few steps only, are those of the second part.</p>"
    )


def _recordings_parts(embedder: Embedder, model: str, recordings: list[Recording]) -> list[str]:
    cards = []
    for recording in recordings:
        sample, name = recording.sample, escape(recording.sample.name)
        neighbours = [(escape(other.name), cosine) for other, cosine in recording.neighbours]
        near = ", ".join(f'<a href="#{other}">{other}</a> ({cosine:.2f})' for other, cosine in neighbours)
        cards.append(
            f'<section id="{name}"><h3>{name}</h3>'
            f"<p>{escape(sample.description)}, {recording.duration_s:.1f} s</p>"
            + webpage.player(recording.path)
            + webpage.picture(recording.picture, f"log-mel and embeddings of {sample.name}")
            + f'<p>nearest: {near}</p><p class="small">{_credit(sample)}</p>'
            "</section>"
        )
    source, sound = shlex.quote(model), f"recordings/{recordings[0].sample.file_name}"
    return [
        "<h2>1. Embeddings and neighbours</h2>",
        f"<p>{len(recordings)} recordings, each with its log-mel spectrogram and, below it, the first three principal "
        f"components of its embeddings as colours: {embedder.timestamp_embedding_size} numbers every "
        f"{10 * embedder.config.patch_frames} ms. Where the colour changes, the encoder hears something else. "
        "Neighbours are by the cosine of the clips' mean embeddings, less the mean of all clips.</p>",
        f'<div class="cards">{"".join(cards)}</div>',
        webpage.commands(
            f"axlstm embed recordings/ -o embeddings.parquet --frames --model {source}\n"
            f"axlstm plot {sound} --model {source}"
        ),
        webpage.commands(
            "import axlstm\n\n"
            f"embedder = axlstm.load_model({model!r})\n"
            f'clip = embedder.embed("{sound}")  # clip.scene ({embedder.scene_embedding_size},), '
            f"clip.frames (T, {embedder.timestamp_embedding_size}), clip.timestamps_ms (T,)"
        ),
    ]


def _training_parts(model: str, training: Training) -> list[str]:
    config, summary = training.config, training.summary
    losses = [line["loss"] for line in training.metrics if line.get("loss") is not None]
    precision = summary["config"]["hardware"]["precision"]
    held_out = " and ".join(sample.name for sample in training.held_out)
    preset = model if resolve_preset(model) else "axlstm-tiny"
    drawn = svg_text(loss_figure(training.metrics, summary["baseline"]))
    return [
        "<h2>2. Pretraining</h2>",
        f"<p>{summary['steps']} steps of {config.optimiser.global_batch} crops of "
        f"{config.model.window_frames / 100:g} s, from fresh weights, in {3600 * summary['train_hours']:.0f} s "
        f"({summary['crops_per_second']:.1f} crops a second, {precision}). Half of the patches of each "
        f"crop are hidden; the loss, on all of them, went from {losses[0]:.3f} to {losses[-1]:.3f}. The data are "
        f"{training.audio_seconds:.0f} s of the recordings above, in {training.records} records; on those held out "
        f"({escape(held_out)}; by author) the loss is {summary['validation_loss']:.3f}, and predicting the mean "
        f"gives {summary['baseline']['mean']:.3f}. So little sound is learned by heart; real pretraining takes hours "
        "of it.</p>",
        webpage.figure(drawn, "Training and validation loss over steps"),
        webpage.commands(
            "axlstm prepare recordings/ shards "
            f"--record-seconds {training.prepare.record_seconds:g} --held-out {training.prepare.held_out:g}\n"
            f"axlstm pretrain {preset} --data shards --workdir run \\\n"
            f"  --schedule.steps {config.schedule.steps} --schedule.warmup-steps {config.schedule.warmup_steps} \\\n"
            f"  --optimiser.global-batch {config.optimiser.global_batch} "
            f"--optimiser.learning-rate {config.optimiser.learning_rate:g}"
        ),
    ]


def _reconstruction_parts(
    embedder: Embedder, model: str, training: Training, sample: Sample, result: Reconstruction
) -> list[str]:
    if embedder.trained:
        whose, source = f"the weights {embedder.name}", shlex.quote(model)
    else:
        whose, source = f"the weights trained above for {training.config.schedule.steps} steps", "run"
    name = escape(sample.name)
    return [
        "<h2>3. Reconstruction</h2>",
        f"<p>{name}, which was held out above, with half of its patches hidden (grey), and what {escape(whose)} "
        f"predict of it. Mean squared {result}.</p>",
        webpage.player(sample_path(sample.name)),
        webpage.picture(png_bytes(result.figure), f"input, masked input and prediction of {sample.name}"),
        webpage.commands(f"axlstm reconstruct recordings/{sample.file_name} -o {sample.name}.png --model {source}"),
    ]


def _probes_parts(embedder: Embedder, model: str, training: Training, probes: Probes) -> list[str]:
    scores, task = Scores(probes.results), probes.task.path.name
    rows = []
    for encoder in probes.encoders:
        interval = scores.interval(encoder, task)
        assert interval is not None  # every encoder was probed
        size, parameters = probes.sizes[encoder]
        spread = f"{interval.low:.3f} to {interval.high:.3f}" if math.isfinite(interval.low) else "-"
        rows.append([encoder, f"{parameters:,}", str(size), f"{interval.mean:.3f}", spread])
    clips = sum(len(content) for content in probes.task.splits.values())
    seeds = len(scores.values(probes.encoders[0], task))
    about_weights = "" if embedder.trained else f" The weights of {embedder.name} are random."
    confusion = sum_confusions(probes.results)[probes.encoders[0], task]
    played = {stroke.label: stroke for stroke in strokes()}  # the last of each drum
    cards = "".join(
        f"<section><h3>{escape(label)}</h3>{webpage.player(stroke.path)}"
        f'<p class="small">{_credit(stroke)}</p></section>'
        for label, stroke in sorted(played.items())
    )
    return [
        "<h2>4. Probes on a small real task</h2>",
        f"<p>{clips} drum strokes of {len(probes.task.splits)} kits, {CLIP_SECONDS:g} s each, of "
        f"{len(probes.task.labels)} drums. Each kit is tested by probes that were trained and selected on the others, "
        f"over {seeds} seeds; the score is the accuracy, averaged over the kits. Always answering the commonest drum "
        f"gives {probes.chance:.3f}. {BASELINE}, mean and deviation of the log-mel bands and of their change, is a "
        f"baseline without learning; {NAME} are the weights of part 2, {training.config.schedule.steps} steps old."
        f"{escape(about_weights)}</p>",
        webpage.table(["encoder", "parameters", "embedding size", "accuracy", "95 % interval"], rows),
        '<p class="small">Student-t interval of the mean over the seeds: how much the probes vary, and not what other '
        "kits would give. With so few clips, differences of a few hundredths mean nothing. Weights that "
        "recipes/open_audio pretrained have heard most of these strokes, without their labels.</p>",
        webpage.figure(draw_scores(scores), "Accuracy of every encoder with its interval"),
        f"<details><summary>Confusions of {escape(probes.encoders[0])}</summary>"
        + webpage.figure(draw_confusion(confusion, probes.task.labels), "Confusions")
        + "</details>",
        f'<div class="cards">{cards}</div>',
        webpage.commands(
            f"# table.csv has the columns path, label, group\n"
            f"axlstm hear make table.csv tasks --duration-s {CLIP_SECONDS:g}\n"
            f"axlstm evaluate {shlex.quote(model)} run logmel --tasks tasks -o out --seeds {seeds}"
        ),
        f'<p class="small">The table of this task, {TASK_NAME}, is in the package: axlstm.samples.strokes_table(). '
        "Authors, sources and licences of all recordings and strokes: the file NOTICE.</p>",
    ]


def _credit(sound: Sample | Stroke) -> str:
    licence, address = _LICENCES[sound.licence]
    return f'<a href="{escape(sound.source)}">{escape(sound.author)}</a>, <a href="{address}">{licence}</a>'

"""Ship the study's best model as the package's own weights: half precision, with a model card."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

from axlstm.data.shards import open_shards
from axlstm.errors import DataError
from axlstm.evaluate.reporting.results import Result
from axlstm.evaluate.reporting.statistics import Scores, overall_scores
from axlstm.files import write_atomically
from recipes.open_audio.fetch import Work
from recipes.open_audio.manifest import read_manifest
from recipes.open_audio.shards import ShardConfig, select
from recipes.open_audio.study.release import RELEASE
from recipes.open_audio.study.runs import Budget, longer_run, seeded_models
from recipes.open_audio.study.tables import short
from recipes.open_audio.study.training import RECORD, RUNS

CARD = "README.md"
LARGEST_MB = 12.0
_DATA = "Recordings to train on and held out, before short, silent and equal ones are dropped:"
_LOSSES = {"all": "all of them", "masked": "the hidden ones"}


def best_run(results: list[Result], family: str, budget: Budget) -> str:
    """Find the run of a family's models with the highest overall score; ablations do not count.

    Raises:
        DataError: none has been evaluated.
    """
    overall = overall_scores(Scores(results))
    names = [run.name for model in seeded_models(budget) if model.family == family for run in model.runs(budget)]
    names.append(longer_run(family, budget).name)
    scored = [name for name in names if name in overall]
    if not scored:
        raise DataError(f"no result of {', '.join(names)}: run the train and study commands first")
    return max(scored, key=lambda name: overall[name].mean)


def ship(work: Path, run: str, results: list[Result], budget: Budget, out: Path, protocol: str) -> float:
    """Copy a run's release into a folder and write its card; returns the MB of all weights in the package.

    Raises:
        DataError: weights that are too large for the package.
    """
    source = work / RUNS / run / RELEASE
    others = [path for path in out.parent.rglob("*") if path.is_file() and out not in path.parents]
    size = sum(path.stat().st_size for path in (*others, *source.iterdir())) / 1e6
    if size > LARGEST_MB:
        raise DataError(f"{out.parent}: {size:.1f} MB, more than the {LARGEST_MB:g} MB that the package may carry")
    out.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        write_atomically(out / path.name, path.read_bytes())
    write_atomically(out / CARD, card(work, run, results, budget, protocol).encode())
    return size


def card(work: Path, run: str, results: list[Result], budget: Budget, protocol: str) -> str:
    """Write the model card from the run's records."""
    record = json.loads((work / RUNS / run / RECORD).read_text(encoding="utf-8"))
    summary = json.loads((work / RUNS / run / "summary.json").read_text(encoding="utf-8"))
    scores = Scores(results)
    overall = overall_scores(scores)
    machine, objective = record["machine"], record["run"]["objective"]
    positions = " (which keep their positions)" if record["run"].get("masked_positions") else ""
    hours = open_shards(Path(summary["data"])).index["splits"]["train"]["hours"]
    lines = [
        f"# {run.split('-')[0]}-{budget.size}: weights trained on open audio",
        "",
        f"{summary['parameters'] / 1e6:.2f} M parameters, prediction head included; float16 on the disk, float32 "
        f"when loaded. Pretrained by masked-patch prediction on {hours:.1f} hours of openly licensed audio: "
        f"{summary['crops']} two-second crops ({summary['epochs']:.1f} passes over the recordings), batch "
        f"{budget.batch}, peak learning rate {budget.learning_rate:g}, {budget.precision}, masks over "
        f"{100 * objective['mask_ratio']:g} % of the patches{positions}, loss on "
        f"{_LOSSES[objective['loss']]}, seed {record['run']['seed']}.",
        "",
        f"Compute: {summary['train_hours']:.2f} hours on {machine['gpu'] or machine['cpu']} "
        f"({machine['threads']} threads), at revision {record['revision']}. Validation loss "
        f"{summary['validation_loss']:.4f}; predicting the mean gives {summary['baseline']['mean']:.4f}.",
        "",
        "## Scores",
        "",
        f"Probes of the protocol `{protocol}`, mean and 95 % interval over probe seeds; `docs/study.md` tells more. "
        "The run was chosen among the study's by its score on these tasks, which makes it look a little better than it "
        "is; the study compares means over seeds.",
        "",
        "| task | this model | log-mel statistics |",
        "|---|---|---|",
    ]
    for task in scores.tasks:
        cells = [scores.interval(model, task) for model in (run, "logmel")]
        shown = ["-" if cell is None else f"{cell.mean:.3f} ± {cell.half_width:.3f}" for cell in cells]
        lines.append(f"| {short(task)} | {' | '.join(shown)} |")
    if run in overall:
        total = f"{overall[run].mean:.1f} [{overall[run].low:.1f}, {overall[run].high:.1f}]"
        lines += ["", f"Overall score s(m) among the study's systems: {total}."]
    lines += ["", "## Data", "", _DATA, "", _data_table(work), ""]
    lines += [
        "## Use and limits",
        "",
        "For embeddings of sound: search, clustering, small classifiers on top, and as a start for further training. "
        f"It has heard {summary['crops'] * 2 / 3600:.0f} hours of crops from {hours:.0f} hours of recordings; "
        "AudioSet is about 5,700 hours, and published models went over it a hundred times: expect less of this one. "
        "Speech in the data is mostly read prompts and acted dialogue in a dozen European languages; music is mostly "
        "game soundtracks. It was not made to recognise persons, and must not decide anything about them.",
        "",
        "## Licence",
        "",
        "As far as there are rights in them, the weights are offered under CC BY-SA 4.0, GPL-2.0 or GPL-3.0, whichever "
        "you choose: the strictest terms among those of the recordings above. No recording is part of the files. "
        "`recipes/open_audio/holdings.parquet` lists every one that was heard.",
        "",
        "## How to reproduce",
        "",
        "The scores, with the tasks that the second command makes and the package as it is installed:",
        "",
        '```bash no-run="downloads ten gigabytes of packages"',
        "python -m recipes.open_audio fetch --work WORK",
        "python -m recipes.open_audio tasks --work WORK",
        f"axlstm evaluate {run.split('-')[0]}-{budget.size} logmel --tasks WORK/tasks -o OUT --protocol {protocol}",
        "```",
        "",
        "The weights:",
        "",
        '```bash no-run="computes for twelve hours"',
        "python -m recipes.open_audio shards --work WORK",
        f"python -m recipes.open_audio train --work WORK {_budget_options(budget)} --jobs 2",
        "python recipes/open_audio/encoders/fetch.py WORK/encoders",
        "python -m recipes.open_audio study --work WORK --encoders WORK/encoders",
        "python -m recipes.open_audio ship --work WORK",
        "```",
        "",
    ]
    return "\n".join(lines)


def _budget_options(budget: Budget) -> str:
    """Return the options that give this budget."""
    default = Budget()
    return " ".join(
        f"--budget.{name.replace('_', '-')} {value}"
        for name, value in asdict(budget).items()
        if value != getattr(default, name)
    )


def _data_table(work: Path) -> str:
    """Write a table of the hours made into shards, by package, with licences."""
    hours: dict[str, Counter[str]] = defaultdict(Counter)
    licences = {}
    for piece in select(read_manifest(Work(work).manifest), ShardConfig()):
        hours[piece.row.package][piece.row.kind] += piece.seconds / 3600  # type: ignore[assignment]
        licences[piece.row.package] = piece.row.licence
    lines = ["| package | licence | hours | of which |", "|---|---|---|---|"]
    for package, kinds in sorted(hours.items(), key=lambda entry: -entry[1].total()):
        of_kind = ", ".join(f"{kind} {amount:.2f}" for kind, amount in kinds.most_common())
        lines.append(f"| {package} | {licences[package]} | {kinds.total():.2f} | {of_kind} |")
    return "\n".join(lines)

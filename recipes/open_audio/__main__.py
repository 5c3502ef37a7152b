"""Run ``python -m recipes.open_audio COMMAND``: from packages to shards, tasks, trained weights and the study."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import tyro
from tyro.conf import Positional

from axlstm.errors import AxlstmError, ConfigError, DataError
from axlstm.locks import locked
from recipes.open_audio.fetch import Work, fetch_packages
from recipes.open_audio.holdings import HOLDINGS, find_holdings, write_holdings
from recipes.open_audio.ladder.commands import ladder, long_run, pack, unpack
from recipes.open_audio.leaks import find_leaks
from recipes.open_audio.manifest import build_manifest, read_manifest
from recipes.open_audio.packages import load_packages
from recipes.open_audio.registry import registries
from recipes.open_audio.shards import SHARDS, ShardConfig, write_shards
from recipes.open_audio.study.commands import finetune_tasks, ship_weights, study, train, train_one_run
from recipes.open_audio.summary import by_licence, summarise
from recipes.open_audio.synth.commands import synth, synth_check
from recipes.open_audio.tasks import suite
from recipes.open_audio.validation import validate

LEAST_HOURS = 30.0


def fetch(work: Path, only: tuple[str, ...] = (), least_hours: float = LEAST_HOURS) -> int:
    """Fetch all packages, unpack them, measure every recording, find copies, write WORK/manifest.parquet.

    The same command resumes an interrupted run, and does nothing once all is complete. Packages that their registry
    does not give are left out and named.

    Args:
        work: folder to work in: up to 15 GB while it runs, 5 GB after.
        only: packages to fetch, instead of all; the manifest describes all packages in WORK.
        least_hours: of different audio; fewer are an error.
    """
    place, packages = Work(work), load_packages()
    unknown = set(only) - {package.name for package in packages}
    if unknown:
        raise ConfigError(f"--only {' '.join(sorted(unknown))}: not in packages.csv; expected names of its packages")
    wanted = [package for package in packages if package.name in only or not only]
    with locked(work):
        missing = fetch_packages(wanted, place, registries(), _report)
        built = build_manifest(packages, place, _report)
    print(f"{summarise(built.rows)}\n\n{by_licence(built.rows)}\n")
    for path, reason in sorted(built.unreadable.items()):
        print(f"unreadable: {path}: {reason}")
    for reason in missing.values():
        print(f"left out: {reason}")
    hours = sum(row.duration_s for row in built.rows if not row.duplicate_of) / 3600
    if hours < least_hours:
        raise DataError(
            f"{place.manifest}: {hours:.1f} h of different audio, fewer than {least_hours:g} h: "
            f"{len(missing)} packages are missing; run the same command again when their registries give them"
        )
    print(f"wrote {place.manifest}: {len(built.rows)} recordings, {hours:.1f} h without exact copies")
    return 0


def tasks(work: Path, out: Path | None = None, only: tuple[str, ...] = (), baseline_seeds: int = 3) -> int:
    """Write the tasks in HEAR format and tables about them into WORK/tasks; tasks that are up to date stay.

    Args:
        work: folder that fetch has worked in.
        out: folder for the tasks, instead of WORK/tasks.
        only: tasks, instead of all.
        baseline_seeds: probes of log-mel statistics for the tables; 0 for none.
    """
    folder = out or work / suite.FOLDER
    with locked(folder):
        built, skipped, scores = suite.build_suite(Work(work), folder, only, baseline_seeds, _report)
        suite.write_tables(folder, built, skipped, scores)
    print(suite.markdown(built, skipped, scores))
    print(f"wrote {folder}: {len(built)} tasks")
    return 0 if built else 1


def shards(
    work: Path,
    out: Path | None = None,
    music_seconds: float = ShardConfig.music_seconds,
    music_pieces: int = ShardConfig.music_pieces,
    least_hours: float = ShardConfig.least_hours,
    held_out: float = ShardConfig.held_out,
    seed: int = ShardConfig.seed,
    processes: int | None = None,
) -> int:
    """Write pretraining shards of all that no task tests on, into WORK/shards.

    Args:
        work: folder that fetch has worked in.
        out: folder for the shards, instead of WORK/shards.
        music_seconds: the most that is taken of one track.
        music_pieces: how many pieces these seconds are taken in, spread over the track.
        least_hours: of audio; fewer are an error.
        held_out: share of the recordings for validation, by group.
        seed: decides the order, and the groups held out.
        processes: workers; all cores by default.
    """
    place = Work(work)
    config = ShardConfig(
        music_seconds=music_seconds,
        music_pieces=music_pieces,
        least_hours=least_hours,
        held_out=held_out,
        seed=seed,
    )
    directory = out or work / SHARDS
    index = write_shards(place, directory, config, _report, processes)
    for split, content in index["splits"].items():
        size = sum(shard["bytes"] for shard in content["shards"])
        largest = max((shard["bytes"] for shard in content["shards"]), default=0)
        print(
            f"{split:6} {content['records']:7} records  {content['hours']:7.2f} h  {len(content['shards'])} shards  "
            f"{size / 1e6:.0f} MB, the largest {largest / 1e6:.1f} MB"
        )
    for reason, count in sorted(index["skipped"].items()):
        print(f"skipped {count:6} {reason}")
    print(f"wrote {directory / 'index.json'}")
    return 0


def check_leaks(work: Path, shards_folder: Path | None = None, tasks: Positional[tuple[Path, ...]] = ()) -> int:
    """Check that the shards hold no recording that a task tests on, and no copy of one; return 1 if they do.

    Args:
        work: folder that fetch has worked in.
        shards_folder: folder of the shards, instead of WORK/shards.
        tasks: HEAR tasks or folders of them. Their test clips are compared by fingerprint, and the recordings that
            `used.csv` beside them lists are compared by the manifest.
    """
    checked, leaks = find_leaks(Work(work), shards_folder or work / SHARDS, tasks, _report)
    for leak in leaks:
        print(leak)
    print(f"{checked}; {len(leaks)} leaks")
    return 1 if leaks else 0


def holdings(work: Path, out: Path = HOLDINGS) -> int:
    """Write a table of the recordings that the shards hold and that the tasks test on.

    Args:
        work: folder that fetch, shards and tasks have worked in.
        out: the table.
    """
    found = find_holdings(read_manifest(Work(work).manifest), work / SHARDS, work / "tasks")
    write_holdings(found, out)
    print(f"wrote {out}: {len(found)} recordings")
    return 0


def check_fingerprints(work: Path, recordings: int = 200, seed: int = 0) -> int:
    """Measure how well copies are found: encode random recordings anew, and look them up among all.

    Args:
        work: folder that fetch has worked in.
        recordings: how many are copied.
        seed: decides which ones.
    """
    print(
        "| copy | looked up | found | recall | also found, of another cluster | too short |\n|---|---|---|---|---|---|"
    )
    tallies = validate(Work(work), recordings, seed)
    for way, tally in tallies.items():
        recall = tally.found / max(tally.looked_up, 1)
        print(
            f"| {way} | {tally.looked_up} | {tally.found} | {recall:.3f} | {len(tally.strangers)} | {tally.too_short} |"
        )
    for recording, other, errors in sorted({pair for tally in tallies.values() for pair in tally.strangers}):
        print(f"also found: {recording}: {other} ({errors:.0%} of the bits differ)")
    return 0


def _report(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Run a command, and print errors about its input in one line."""
    app = tyro.extras.SubcommandApp()
    app.command(name="fetch")(fetch)
    app.command(name="tasks")(tasks)
    app.command(name="shards")(shards)
    app.command(name="train")(train)
    app.command(name="train-one")(train_one_run)
    app.command(name="study")(study)
    app.command(name="finetune-study")(finetune_tasks)
    app.command(name="ship")(ship_weights)
    app.command(name="ladder")(ladder)
    app.command(name="long-run")(long_run)
    app.command(name="pack-run")(pack)
    app.command(name="unpack-run")(unpack)
    app.command(name="synth")(synth)
    app.command(name="synth-check")(synth_check)
    app.command(name="check-leaks")(check_leaks)
    app.command(name="holdings")(holdings)
    app.command(name="check-fingerprints")(check_fingerprints)
    try:
        return int(app.cli(prog="python -m recipes.open_audio", description="Open audio from package registries."))
    except AxlstmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""Disturb `axlstm embed` from a bucket, in parts, in one of many ways; then the same command has to mend it."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import axlstm
from axlstm.parts.accounts import account_name, read_events, rows_name
from axlstm.parts.opening import find_planned, open_folder
from axlstm.parts.status import read_status
from tests.faults.harness import compiler
from tests.parts.bucket import Bucket, serve_bucket
from tests.shards.made import write_sound

_FILES, _PER_PART = 24, 4
_PARTS = _FILES // _PER_PART + 1  # the last one has the broken recording


@dataclass
class Trial:
    """One disturbed run: what was done to it, and what came of it."""

    kind: str
    seed: int
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # what is not as it should be

    def __str__(self) -> str:
        told = "; ".join(self.faults) or "as undisturbed"
        return f"{self.kind:28} seed {self.seed:<4} {told} ({', '.join(self.notes)})"


class Campaign:
    """Recordings in a bucket, and the output of an undisturbed run to compare with.

    Args:
        root: an empty folder.
        bucket: serves the recordings.
    """

    def __init__(self, root: Path, bucket: Bucket) -> None:
        self.root, self.bucket = root, bucket
        self.model = root / "model"
        axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(self.model)
        files = bucket.files()
        for number in range(_FILES):
            sound = write_sound(root / "sound.wav", 0.5 + 0.1 * (number % 7), number)
            files.put_file(str(sound), f"sounds/in/{number:02d}.wav")
        files.pipe_file("sounds/in/broken.wav", b"no sound")
        assert self.run(root / "undisturbed").wait() == 0
        self.expected = self.content(str(root / "undisturbed"))

    def run(
        self, out: Path | str, before: Callable[[], None] | None = None, **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start the command.

        Args:
            before: called in its process before it begins.
            variables: of its environment.
        """
        command = [sys.executable, "-m", "axlstm", "embed", f"{self.bucket.url}/in", "-o", str(out)]
        command += ["-m", str(self.model), "--part-files", str(_PER_PART), "--workers", "2"]
        quiet = subprocess.DEVNULL
        environment = {**os.environ, **variables}
        return subprocess.Popen(command, cwd=self.root, stdout=quiet, stderr=quiet, preexec_fn=before, env=environment)

    def content(self, out: str) -> dict[str, bytes]:
        """All that does not depend on when and by whom it was done."""
        folder = open_folder(out)
        names = [*map(rows_name, range(_PARTS)), *map(account_name, range(_PARTS)), "_summary.json", "_skipped.jsonl"]
        return {name: folder.read(name) for name in names}

    def attempt(self, kind: str, seed: int) -> Trial:
        """Disturb a run, let the same command go on until it ends well, and compare."""
        rng, trial = random.Random(seed), Trial(kind, seed)
        out = f"{self.bucket.url}/out-{seed}" if rng.random() < 0.5 else str(self.root / f"out-{seed}")
        trial.notes.append("to the bucket" if out.startswith("s3") else "to the disk")
        KINDS[kind](self, out, rng, trial)
        self.bucket.faults = lambda *_: None
        for again in range(4):
            if (status := self.run(out).wait()) == 0:
                trial.notes.append(f"mended by run {again + 1}")
                break
        else:
            trial.faults.append(f"status {status} after four runs")
            return trial
        found = self.content(out)
        trial.faults += [f"{name} differs" for name in self.expected if found[name] != self.expected[name]]
        status_now = read_status(*find_planned(out))
        if not (status_now.is_complete and (status_now.embedded, status_now.skipped) == (_FILES, 1)):
            trial.faults.append(f"status tells {status_now}")
        if kind in _COUNTED and "status 0" in trial.notes and not status_now.retries:
            trial.faults.append("no request was counted as tried again")
        if out.startswith(str(self.root)) and (left := list(Path(out).rglob("*.axlstm.part"))):
            trial.faults.append(f"{len(left)} unfinished files are left")
        return trial


def _wait_for_work(out: str, driver: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Wait until workers are there and some parts are done, or the driver has ended."""
    wanted = rng.randrange(_PARTS // 2)
    folder = open_folder(out)
    while driver.poll() is None and not (_workers_of(driver) and len(folder.names("_parts")) >= wanted):
        time.sleep(0.01)


def _workers_of(driver: subprocess.Popen[bytes]) -> list[int]:
    """List the worker processes of a driver."""
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
    found = map(int, children.read_text(encoding="utf-8").split()) if children.exists() else ()
    return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _kill_worker(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
    driver = campaign.run(out)
    _wait_for_work(out, driver, rng)
    if workers := _workers_of(driver):
        os.kill(rng.choice(workers), signal.SIGKILL)
        trial.notes.append("killed")
    if (status := driver.wait()) != 0:
        trial.faults.append(f"the driver ended with status {status} after a worker was killed")
    events = [event["event"] for event in read_events(open_folder(out))]
    trial.notes.append(f"{events.count('failed')} failed tries told")


def _kill_driver(campaign: Campaign, out: str, rng: random.Random, _: Trial) -> None:
    driver = campaign.run(out)
    _wait_for_work(out, driver, rng)
    driver.kill()
    driver.wait()


def _failing(*kinds: str, share: float = 0.25) -> Callable[[Campaign, str, random.Random, Trial], None]:
    """Let a share of the requests fail."""

    def disturb(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
        def faults(method: str, _: str) -> str | None:
            kind = rng.choice(kinds)
            return kind if rng.random() < share and (kind != "half" or method == "GET") else None

        campaign.bucket.faults = faults
        trial.notes.append(f"status {campaign.run(out).wait()}")

    return disturb


def _down(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
    """Let the store be down from some moment on, for longer than the tries of a request take."""
    driver = campaign.run(out)
    if out.startswith("s3"):
        time.sleep(2 + 3 * rng.random())
    else:
        _wait_for_work(out, driver, rng)
    campaign.bucket.faults = lambda *_: "503"
    trial.notes.append(f"status {driver.wait()}")


def _damage(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
    """Cut, change or remove files of a finished output."""
    campaign.run(out).wait()
    folder = open_folder(out)
    for part in rng.sample(range(_PARTS), 2):
        name = rng.choice([rows_name(part), account_name(part)])
        content = bytearray(folder.read(name))
        kind = rng.choice(["cut", "changed", "removed", "emptied"])
        trial.notes.append(f"{name.rpartition('/')[2]} {kind}")
        if kind == "removed":
            folder.remove(name)
            continue
        if kind == "changed":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        folder.write(name, bytes(content[: {"cut": len(content) // 2, "emptied": 0}.get(kind, len(content))]))


def _full(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
    """Let no file grow beyond some size, as on a full disk."""
    most = rng.choice([100, 1_000, 5_000])
    driver = campaign.run(out, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    trial.notes.append(f"{most} bytes, status {driver.wait()}")


def _two_drivers(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
    first = campaign.run(out)
    time.sleep(rng.random() * 3)
    second = campaign.run(out)
    trial.notes.append(f"status {first.wait()} and {second.wait()}")


def _clock(campaign: Campaign, out: str, rng: random.Random, trial: Trial) -> None:
    """Let the clocks of driver and workers jump by up to a year, and back, all the time."""
    source, shim = Path(__file__).with_name("clock.c"), campaign.root / "clock.so"
    if not shim.exists():
        subprocess.run([compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    seconds = rng.choice([60, 3600, 366 * 24 * 3600])
    driver = campaign.run(out, LD_PRELOAD=str(shim), CLOCK_JUMP_S=str(seconds))
    if (status := driver.wait()) != 0:
        trial.faults.append(f"status {status} beside a clock that jumps")
    times = [event["at"] for event in read_events(open_folder(out))]
    trial.notes.append(f"{sum(a > b for a, b in pairwise(times))} events before the one behind")


_STORE = ("500", "503", "half", "slow")
KINDS: dict[str, Callable[[Campaign, str, random.Random, Trial], None]] = {
    "a worker killed": _kill_worker,
    "the driver killed": _kill_driver,
    "the store answers 500": _failing("500"),
    "the store answers 503": _failing("503"),
    "the store is slow": _failing("slow"),
    "half a body": _failing("half"),
    "all of these": _failing(*_STORE, share=0.4),
    "the store is down": _down,
    "parts damaged after the fact": _damage,
    "a full disk": _full,
    "two drivers on one output": _two_drivers,
    "a clock that jumps": _clock,
}
_COUNTED = {"the store answers 500", "the store answers 503", "half a body", "all of these"}


@contextmanager
def campaign(root: Path) -> Iterator[Campaign]:
    """Make a campaign in an empty folder."""
    with serve_bucket() as bucket:
        yield Campaign(root, bucket)

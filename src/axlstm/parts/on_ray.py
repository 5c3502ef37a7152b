"""Run parts on a Ray cluster, or on a Ray that is started for them on this machine (the extra ``ray``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from axlstm.errors import ConfigError, first_line
from axlstm.parts.accounts import Account
from axlstm.parts.run import PartOf
from axlstm.parts.runners import Outcome, Queue
from axlstm.threads import count_cores

logger = logging.getLogger(__name__)


class _Actor:
    """Does parts one after another, with one model, in a process of Ray.

    Args:
        folder: that paths are relative to. Where it is not there, all paths have to be URLs, or absolute.
    """

    def __init__(self, part_of: PartOf, folder: str) -> None:
        import torch

        torch.set_num_threads(1)
        with suppress(OSError):
            os.chdir(folder)
        self.part_of = part_of

    def do(self, part: int) -> Account:
        return self.part_of(part)


def on_ray(
    part_of: PartOf, parts: Iterable[int], workers: int | None, address: str | None, gpus: float
) -> Iterator[Outcome]:
    """Run parts by actors of Ray, a core each. An actor has one part at a time, so that nothing piles up.

    Args:
        workers: actors. None takes as many as the cluster has room for, or, on this machine, cores for.
        address: of a cluster. None takes ``RAY_ADDRESS``, which Ray's jobs have, and without it starts Ray here.
        gpus: of an actor; a share of one if less than 1.

    Raises:
        AxlstmError: an error that another try does not mend, or a cluster that cannot be reached or has no room.
    """
    if find_spec("ray") is None:
        raise ConfigError('--runner ray needs Ray: pip install "axlstm[ray]"')
    import ray

    queue = Queue(parts)
    with _connected(address or os.environ.get("RAY_ADDRESS"), workers, gpus):
        room = _room(ray.cluster_resources(), gpus)
        if (count := workers or room) > room:
            logger.warning("the cluster has room for %d of %d workers now; the others wait for it to grow", room, count)
        make = partial(ray.remote(num_cpus=1, num_gpus=gpus)(_Actor).remote, part_of, str(Path.cwd()))
        idle: list[Any] = [make() for _ in range(count)]
        running: dict[Any, tuple[int, Any]] = {}  # what an actor gives, when it is ready: part and actor
        while True:
            while idle and (part := queue.take()) is not None:
                actor = idle.pop()
                running[actor.do.remote(part)] = (part, actor)
            if not running:
                return
            for ready in ray.wait(list(running), num_returns=1)[0]:
                part, actor = running.pop(ready)
                try:
                    account = ray.get(ready)
                except ray.exceptions.RayTaskError as error:
                    idle.append(actor)
                    yield from queue.failed(part, error.cause or error)
                except ray.exceptions.RayError:  # its process, or its node, is gone
                    idle.append(make())
                    yield from queue.failed(part, part_of.note_killed(part))
                else:
                    idle.append(actor)
                    yield queue.done(account)


@contextmanager
def _connected(address: str | None, workers: int | None, gpus: float) -> Iterator[None]:
    """Connect to a cluster, or start one here that ends with the block."""
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = max(workers or count_cores(), 1)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray of ours reports to nobody
        here: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False}
        options |= here if gpus else {**here, "num_gpus": 0}
    try:
        ray.init(address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        where = "Ray cannot be started" if address is None else f"Ray at {address} cannot be reached"
        raise ConfigError(f"{where} ({first_line(error)})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _room(resources: dict[str, float], gpus: float) -> int:
    """Count the actors that a cluster has room for.

    Raises:
        ConfigError: it has none.
    """
    room = [int(resources.get("CPU", 0))] + ([int(resources.get("GPU", 0) / gpus)] if gpus else [])
    if min(room) < 1:
        raise ConfigError(
            f"the cluster has {resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs; "
            f"a worker needs 1 CPU and {gpus:g} GPUs"
        )
    return min(room)

"""Keep the whole state of a run on the disk: written atomically, read back exactly."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, TypeVar, cast
from zipfile import BadZipFile, ZipFile

import torch

from axlstm import __version__
from axlstm.bounds import check_types, check_zip, parse_object
from axlstm.errors import AxlstmError, TrainingError, first_line
from axlstm.files import clear_dead_parts, remove_folder, sync_folder, write_atomically, writing
from axlstm.seals import crc_of_path, object_is_whole, seal_object
from axlstm.training.config import RunConfig, differing_fields
from axlstm.training.position import Position
from axlstm.training.stepper import BaseStepper

logger = logging.getLogger(__name__)

RUN_NAME = "run.json"
STATE_NAME = "training_state.pt"
CHECKPOINTS_NAME = "checkpoints"
BEST_NAME = "best"
_FOLDER = re.compile(r"step-(\d+)")
_PART = ".part-"  # begins the name of an unfinished checkpoint


PositionT = TypeVar("PositionT", bound=Position)


def claim_workdir(workdir: Path, config: RunConfig, data: Path | str, digest: str) -> None:
    """Write down which run the folder belongs to, or check that it is this one.

    Args:
        data: what is learned from; it may move. ``digest`` is the fingerprint of its content; it may not change.

    Raises:
        TrainingError: the folder holds a run of another configuration (the differing fields are shown) or data.
    """
    path = workdir / RUN_NAME
    if path.exists():
        try:
            there = parse_object(path.read_bytes())
            if not object_is_whole(there):
                raise ValueError("its checksum is another one")
            check_types(there, {"config": dict, "data": str, "shards": str})
            other = type(config).from_dict(there["config"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{path}: not the description of a run ({first_line(error)}). Remove it if the same command with the "
                "same settings began the run, and give that again; or use another folder"
            ) from error
        different = differing_fields(other, config)
        fixed = {name: pair for name, pair in different.items() if not name.startswith(config.changeable)}
        if fixed:
            shown = "; ".join(f"{name}: {a!r} there, {b!r} here" for name, (a, b) in fixed.items())
            raise TrainingError(
                f"{path}: a run with another configuration ({shown}). "
                "Use the same settings to resume it, or another workdir"
            )
        if there["shards"] != digest:
            raise TrainingError(
                f"{path}: its run was begun on other data ({there['data']:.500}) than {data} now holds; "
                "resume on the same data, or use another workdir"
            )
        for name, (a, b) in different.items():
            logger.info("%s is %r now, and was %r", name, b, a)
    content = {"config": config.to_dict(), "data": str(data), "shards": digest, "axlstm": __version__}
    write_atomically(path, (json.dumps(seal_object(content), indent=2) + "\n").encode())


def save_state(
    workdir: Path, stepper: BaseStepper[Any], position: Position, config: RunConfig, run: Mapping[str, Any]
) -> None:
    """Save everything as ``checkpoints/step-N``, drop the oldest, and point the workdir's own weights to it.

    All processes call it; the first one writes, into a folder that gets its name once everything is on the disk.

    Args:
        run: facts about the run for whoever loads the weights.

    Raises:
        WriteError: the disk is full or fails.
    """
    world = stepper.world
    cuda = world.device.type == "cuda"
    generators = world.gather({"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if cuda else None})
    if not world.is_main:
        return
    checkpoints = workdir / CHECKPOINTS_NAME
    checkpoints.mkdir(parents=True, exist_ok=True)
    content = {
        "position": dict(vars(position)),
        "optimiser": stepper.optimiser.state_dict(),
        "scaler": stepper.scaler.state_dict(),
        "generators": generators,
        "objectives": stepper.further_state(),
        "world_size": world.size,
        "config": config.to_dict(),
        "versions": {"axlstm": __version__, "torch": str(torch.__version__)},
    }
    training = {"step": position.step, **run}
    target = checkpoints / f"step-{position.step:09d}"
    with writing(checkpoints, "The checkpoints before it are whole"):
        part = Path(tempfile.mkdtemp(prefix=_PART, dir=checkpoints))
        try:
            stepper.save_model(part, training, position.step)
            content["checksums"] = {name: crc_of_path(part / name) for name in stepper.model_files}
            _save_tensors(content, part / STATE_NAME)
            part.chmod(0o755)
            sync_folder(part)
            if target.exists():
                remove_folder(target)
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)  # a full disk needs the room
            raise
        sync_folder(checkpoints)
        publish(workdir, stepper, position, config.checkpoints.keep_last)


def _save_tensors(content: Mapping[str, Any], path: Path) -> None:
    """Write with `torch.save`, which turns an error of the disk into one that does not name it."""
    with path.open("wb") as file:
        noted = _NotedFile(file)
        try:
            torch.save(content, cast(BinaryIO, noted))
        except RuntimeError as error:
            if noted.failure is None:
                raise
            raise noted.failure from error
        file.flush()
        os.fsync(file.fileno())


class _NotedFile:
    """A file to write to that remembers the error it met."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            self.failure = self.failure or error
            raise


def publish(workdir: Path, stepper: BaseStepper[Any], position: Position, keep_last: int) -> None:
    """Make the folders of `BaseStepper.published` load as the models of their steps; drop the oldest checkpoints.

    A run that was killed in the middle of this does it again when it is resumed.
    """
    saved = dict(saved_steps(workdir / CHECKPOINTS_NAME))
    for name, step in stepper.published(position).items():
        if step in saved:
            (workdir / name).mkdir(exist_ok=True)
            _link_model(saved[step], workdir / name, stepper.model_files)
    reached = [step for step in saved if step <= position.step]  # later ones are damaged (`restore_newest`)
    kept = {position.best_step, *reached[-keep_last:]}
    for step, folder in saved.items():
        if step not in kept:
            remove_folder(folder)


def _link_model(checkpoint: Path, folder: Path, files: Sequence[str]) -> None:
    """Give the files of a checkpoint's model a second name in ``folder``, without a second copy."""
    for name in files:
        if not (checkpoint / name).exists():  # an earlier version wrote fewer
            continue
        if (folder / name).exists() and (folder / name).samefile(checkpoint / name):
            continue
        temporary = folder / f".{name}.part"
        temporary.unlink(missing_ok=True)
        try:
            try:
                os.link(checkpoint / name, temporary)
            except OSError:  # a file system without hard links
                shutil.copyfile(checkpoint / name, temporary)
            temporary.replace(folder / name)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def saved_steps(checkpoints: Path) -> list[tuple[int, Path]]:
    """List the complete checkpoints of a run by step, oldest first."""
    if not checkpoints.is_dir():
        return []
    found = ((_FOLDER.fullmatch(path.name), path) for path in checkpoints.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def clear_leftovers(workdir: Path, files: Sequence[str]) -> None:
    """Remove the unfinished files and checkpoints of a killed process. The caller holds the workdir's lock.

    Args:
        files: of a model.
    """
    for part in (workdir / CHECKPOINTS_NAME).glob(f"{_PART}*"):
        remove_folder(part)
    for folder in [workdir, *(path for path in workdir.iterdir() if path.is_dir())]:
        clear_dead_parts(folder)
        for name in files:
            (folder / f".{name}.part").unlink(missing_ok=True)  # of `_link_model`


def restore_newest(workdir: Path, stepper: BaseStepper[Any], kind: type[PositionT]) -> PositionT | None:
    """Bring model, optimiser, scaler and random numbers to the newest checkpoint; None if there is none.

    A checkpoint that the disk has damaged is passed over, loudly, for the one before it.

    Args:
        kind: of the position that the run has.

    Raises:
        TrainingError: there are checkpoints, but none can be read, or the system does not give one.
    """
    steps = saved_steps(workdir / CHECKPOINTS_NAME)
    for _, folder in reversed(steps):
        try:
            content = read_state(folder)
            weights, position = stepper.read_model(folder), kind(**content["position"])
            optimiser, scaler = content["optimiser"], content["scaler"]
            stepper.load_further_state(content.get("objectives", {}))
        except (AxlstmError, FileNotFoundError, ValueError, RuntimeError, LookupError, TypeError) as error:
            logger.warning("%s: damaged (%s); going back to the checkpoint before it", folder, first_line(error))
            continue
        except OSError as error:  # nothing about what it holds
            reason = error.strerror or error
            raise TrainingError(
                f"{folder}: cannot be read ({reason}); correct the cause, and run the same command again"
            ) from error
        stepper.load_model(weights)
        stepper.optimiser.load_state_dict(optimiser)
        if scaler:
            stepper.scaler.load_state_dict(scaler)
        _restore_generators(stepper, content)
        return position
    if steps:
        raise TrainingError(f"{workdir}: none of its {len(steps)} checkpoints can be read; use another workdir")
    return None


def read_state(folder: Path) -> dict[str, Any]:
    """Read the state of a checkpoint that its checksums find as it was written, without the weights of its model."""
    with (folder / STATE_NAME).open("rb") as file:
        try:
            with ZipFile(file) as archive:  # torch does not compare the checksums of what it loads
                check_zip(archive, os.fstat(file.fileno()).st_size)
                if damaged := archive.testzip():
                    raise ValueError(f"the checksum of {damaged} in {STATE_NAME} is another one")
            file.seek(0)
            content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # The last is zipfile's, for an entry whose damaged header names a compression that does not exist.
        except (BadZipFile, zlib.error, EOFError, UnpicklingError, NotImplementedError) as error:
            raise ValueError(f"{STATE_NAME}: {first_line(error)}") from error
    for name, crc in content.get("checksums", {}).items():  # earlier versions have none
        if crc_of_path(folder / name) != crc:
            raise ValueError(f"the checksum of {name} is another one")
    return content


def _restore_generators(stepper: BaseStepper[Any], content: Mapping[str, Any]) -> None:
    world = stepper.world
    if content["world_size"] != world.size:
        logger.warning(
            "resumed with %d processes, saved with %d: the batches are the same, but sums are taken in another "
            "order, so the result is NOT exactly that of an uninterrupted run",
            *(world.size, content["world_size"]),
        )
    if content["versions"]["torch"] != str(torch.__version__):
        logger.warning("saved with torch %s, resumed with %s", content["versions"]["torch"], torch.__version__)
    if world.rank < len(content["generators"]):
        state = content["generators"][world.rank]
        torch.set_rng_state(state["cpu"])
        if world.device.type == "cuda" and state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])

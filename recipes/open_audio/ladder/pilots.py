"""List the pilots: small runs of equal cost that differ in their objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from axlstm.data.config import InputConfig
from axlstm.model.config import preset_config
from axlstm.pretrain.config import (
    ClipsConfig,
    LatentConfig,
    ObjectiveConfig,
    PretrainConfig,
    PretrainLogConfig,
    ReadingConfig,
    TeachersConfig,
    ValidationConfig,
)
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig

TEACHERS = {"musicnn": "musicnn/MTT", "resemblyzer": "resemblyzer"}
"""Encoders whose licences let what they teach be shipped (ISC, Apache-2.0), and where fetch.py leaves their weights."""

LABELS = ("phones", "words", "notes")
"""Targets of rendered sound, whose labels are known; see `recipes.open_audio.synth`."""

_MEASUREMENTS = 5  # validations and checkpoints of a pilot
_VALIDATION_CROPS = 128
_PUBLISHED_MASKS = ObjectiveConfig(loss="masked")
_LATENT = LatentConfig(weight=0.5, clip_weight=0.1, masks=2, decay=0.97, final_decay=0.997)


@dataclass(frozen=True, kw_only=True)
class PilotBudget:
    """The cost of a pilot: that of the base recipe's crops.

    Args:
        weights: a model that all pilots begin with; fresh weights without it.
    """

    crops: int = 3_200  # two-second windows that the base recipe sees
    batch: int = 16  # windows under a mask in a step
    learning_rate: float = 1e-3
    warmup: float = 0.1  # share of the steps
    share: float = 0.0625  # of the training shards
    size: str = "tiny"
    weights: str = ""


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """One pilot.

    Args:
        batch_share: crops in a batch, of the budget's. With two masks of each crop, half as many crops cost the same.
        teachers: weights of the clip losses of all `TEACHERS`; 0 for none.
        synthetic: whether rendered sound is added to the real recordings.
        labels: weights of the frame losses of all `LABELS`, which only rendered sound has; half of it for the clip.
    """

    name: str
    what: str
    objective: ObjectiveConfig = field(default_factory=lambda: _PUBLISHED_MASKS)
    batch_share: float = 1.0
    teachers: float = 0.0
    synthetic: bool = False
    labels: float = 0.0
    seed: int = 0

    def config(self, budget: PilotBudget, steps: int, teachers: Path) -> PretrainConfig:
        """Return the configuration for `axlstm pretrain`.

        Args:
            teachers: folder with a folder of embeddings for each of `TEACHERS`, and of targets for each of `LABELS`.
        """
        objective = self.objective
        assert not (self.teachers and self.labels)  # teachers embed real recordings only
        if self.teachers:
            taught = TeachersConfig(
                folders=tuple(str(teachers / name) for name in TEACHERS), clip_weights=(self.teachers,)
            )
            objective = replace(objective, teachers=taught)
        if self.labels:
            folders = tuple(str(teachers / name) for name in LABELS)
            taught = TeachersConfig(folders=folders, frame_weights=(self.labels,), clip_weights=(self.labels / 2,))
            objective = replace(objective, teachers=taught)
        batch = round(self.batch_share * budget.batch)
        every = max(1, steps // _MEASUREMENTS)
        return PretrainConfig(
            model=preset_config(f"axlstm-{budget.size}"),
            objective=objective,
            optimiser=OptimiserConfig(learning_rate=budget.learning_rate, global_batch=batch, micro_batch=batch),
            schedule=ScheduleConfig(steps=steps, warmup_steps=round(budget.warmup * steps)),
            reading=ReadingConfig(workers=0),  # all work in one process, on one core
            hardware=HardwareConfig(device="cpu", precision="float32", threads=1),
            validation=ValidationConfig(every_steps=every, crops=_VALIDATION_CROPS),
            checkpoints=CheckpointConfig(every_steps=every),
            log=PretrainLogConfig(every_steps=10, pictures_every_steps=steps),
            seed=self.seed,
            weights=budget.weights,
        )


def pilots() -> list[Pilot]:
    """List all pilots by expected gain, beginning with the one that the others are compared with."""
    base = _PUBLISHED_MASKS
    latent = replace(base, pixel_weight=0.5, latent=_LATENT)
    clips = replace(base, clips=ClipsConfig(weight=0.1))
    return [
        Pilot(name="base", what="loss of hidden patches' pixels"),
        Pilot(
            name="latent",
            what="+ an EMA teacher's states, two masks; half the pixels",
            objective=latent,
            batch_share=0.5,
        ),
        Pilot(name="teachers", what="+ musicnn and Resemblyzer on the clip", teachers=0.3),
        Pilot(
            name="latent-teachers",
            what="+ EMA teacher, musicnn and Resemblyzer",
            objective=latent,
            batch_share=0.5,
            teachers=0.3,
        ),
        Pilot(name="synthetic", what="base, rendered speech and notes added to the recordings", synthetic=True),
        Pilot(
            name="synthetic-labels",
            what="the same, and their phones, words and pitches as targets",
            synthetic=True,
            labels=0.5,
        ),
        Pilot(name="base-seed1", what="base with another seed", seed=1),
        Pilot(
            name="lengths", what="crops of 0.4, 1, 2 and 5 s", objective=replace(base, crop_seconds=(0.4, 1, 2, 2, 5))
        ),
        Pilot(name="vicreg", what="+ two crops of a recording agree", objective=clips, batch_share=1.5),
        Pilot(name="inverse-blocks", what="masks that leave blocks", objective=replace(base, masking="inverse-blocks")),
        Pilot(
            name="input",
            what="noise, mixing, equaliser in half the crops",
            objective=replace(base, input=InputConfig(noise=0.5, mix=0.5, equaliser=0.5)),
        ),
    ]


def find_pilots(names: Sequence[str]) -> list[Pilot]:
    """Return the pilots of those names, or all without names.

    Raises:
        ConfigError: a name that does not exist.
    """
    from axlstm.errors import ConfigError

    known = {pilot.name: pilot for pilot in pilots()}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no pilot is called {', '.join(unknown)}; the pilots are {', '.join(known)}")
    return [known[name] for name in names or known]

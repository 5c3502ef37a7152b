"""List the training runs of the study, and the systems that it compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from axlstm.model.config import preset_config
from axlstm.options import TrainingPrecision
from axlstm.pretrain.config import ObjectiveConfig, PretrainConfig, PretrainLogConfig, ReadingConfig, ValidationConfig
from axlstm.training.config import CheckpointConfig, HardwareConfig, OptimiserConfig, ScheduleConfig
from recipes.open_audio.study.release import release

FAMILIES = ("axlstm", "ssast")
ABLATIONS = {
    "axlstm": ("loss-masked", "mask-0.8", "hours-half", "hours-eighth", "size-small"),
    "ssast": ("rate-third", "loss-all-positions"),
}
LONGER = 3  # times the steps, for one more run of each family
LONGER_FORMS = {"axlstm": "masked", "ssast": "positions"}  # what each learns most with
MORE_UPDATES = "ssast-updates-fourfold"  # the crops of a run of the pair, in batches a quarter as large
REFERENCES = {family: f"{family}-ablation-reference" for family in FAMILIES}
PEERS = {  # HEAR-API modules in encoders/, and where fetch.py leaves their weights
    "musicnn": "musicnn/MTT",
    "openwakeword": "openwakeword",
    "birdnet": "birdnet",
    "resemblyzer": "resemblyzer",
}
_MASKED = ObjectiveConfig(loss="masked")
_FORMS: dict[str, dict[str, Any]] = {  # of the pair, by the end of their names
    "": {},
    "masked": {"objective": _MASKED},
    "positions": {"objective": _MASKED, "masked_positions": True},
}
_MEASUREMENTS = 12  # validations and checkpoints of a run
_VALIDATION_CROPS = 256


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The cost of a run, equal for all, so that they can be compared."""

    crops: int = 60_000  # two-second windows seen in training
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.1  # share of the steps
    device: str = "cpu"
    precision: TrainingPrecision = "bfloat16"
    size: str = "tiny"
    seeds: int = 3  # pretraining seeds of the models that the study is about
    ablation_share: float = 0.3  # of the steps, for the runs that are only compared with one another


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run."""

    name: str
    family: str
    size: str
    seed: int = 0
    share: float = 1.0  # of the training shards
    budget_share: float = 1.0  # of the steps
    rate_share: float = 1.0  # of the learning rate
    batch_share: float = 1.0  # of the crops in a batch; of half as many there are twice the steps
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    masked_positions: bool = False  # hidden patches keep their position

    @property
    def preset(self) -> str:
        """Name the model's preset."""
        return f"{self.family}-{self.size}"

    def config(self, budget: Budget, threads: int | None) -> PretrainConfig:
        """Return the configuration for `axlstm pretrain`."""
        batch = max(1, round(self.batch_share * budget.batch))
        steps = max(1, round(self.budget_share * budget.crops) // batch)
        every = max(1, steps // _MEASUREMENTS)
        return PretrainConfig(
            model=preset_config(self.preset, masked_positions=self.masked_positions),
            objective=self.objective,
            optimiser=OptimiserConfig(
                learning_rate=self.rate_share * budget.learning_rate,
                global_batch=batch,
                micro_batch=min(batch, 256),
            ),
            schedule=ScheduleConfig(steps=steps, warmup_steps=round(budget.warmup * steps)),
            reading=ReadingConfig(workers=1),
            hardware=HardwareConfig(device=budget.device, precision=budget.precision, threads=threads),
            validation=ValidationConfig(every_steps=every, crops=_VALIDATION_CROPS),
            checkpoints=CheckpointConfig(every_steps=every),
            log=PretrainLogConfig(every_steps=min(10, every), pictures_every_steps=steps),
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class SeededModel:
    """A model that is trained with several seeds."""

    name: str
    family: str
    size: str
    changes: Mapping[str, Any]  # fields of its runs

    def run(self, name: str, **more: Any) -> Run:
        """Return its run with one seed."""
        return Run(name=name, family=self.family, size=self.size, **self.changes, **more)

    def runs(self, budget: Budget) -> list[Run]:
        """List its runs, one a seed."""
        return [self.run(f"{self.name}-seed{seed}", seed=seed) for seed in range(budget.seeds)]


def seeded_models(budget: Budget) -> list[SeededModel]:
    """List the pair in each form: as published, with the loss on hidden patches only, and with their positions kept."""
    return [_seeded_model(family, form, budget) for form in _FORMS for family in FAMILIES]


def _seeded_model(family: str, form: str, budget: Budget) -> SeededModel:
    name = "-".join(filter(None, (family, budget.size, form)))
    return SeededModel(name=name, family=family, size=budget.size, changes=_FORMS[form])


def training_runs(budget: Budget) -> list[Run]:
    """List all runs, beginning with those that the others are compared with."""
    pairs = [run for model in seeded_models(budget) for run in model.runs(budget)]
    more = Run(name=MORE_UPDATES, family="ssast", size=budget.size, batch_share=0.25)
    ablations = (run for family in FAMILIES for run in ablation_runs(family, budget))
    return [*pairs, *(longer_run(family, budget) for family in FAMILIES), more, *ablations]


def longer_run(family: str, budget: Budget) -> Run:
    """Return the run of a family that is trained for longer."""
    model = _seeded_model(family, LONGER_FORMS[family], budget)
    return model.run(f"{model.name}-longer", budget_share=LONGER)


def ablation_runs(family: str, budget: Budget) -> list[Run]:
    """List the run that a family's ablations are compared with, and the ablations."""
    base = Run(name=REFERENCES[family], family=family, size=budget.size, budget_share=budget.ablation_share)
    published = ObjectiveConfig()
    changes: dict[str, dict[str, Any]] = {
        "loss-masked": {"objective": replace(published, loss="masked")},
        "mask-0.8": {"objective": replace(published, mask_ratio=0.8)},
        "hours-half": {"share": 0.5},
        "hours-eighth": {"share": 0.125},
        "rate-third": {"rate_share": 1 / 3},
        "loss-all-positions": {"masked_positions": True},
        "size-small": {"size": "small"},
    }
    return [base, *(replace(base, name=f"{family}-{name}", **changes[name]) for name in ABLATIONS[family])]


@dataclass(frozen=True, kw_only=True)
class System:
    """A model to evaluate: a source for `load_encoder`, or an untrained model."""

    name: str
    source: str
    layout: str | None = None
    pooling: str | None = None
    layers: str | None = None  # "mean": of the states after all blocks
    untrained: bool = False


def deviation_variants(budget: Budget) -> dict[str, str]:
    """Name the systems that pool mean and deviation, and the runs whose weights they share."""
    models = (f"axlstm-{budget.size}", f"axlstm-{budget.size}-masked")
    longer = longer_run("axlstm", budget).name
    return {f"{model}-deviation": f"{model}-seed0" for model in models} | {f"{longer}-deviation": longer}


def systems(runs: Path, budget: Budget, encoders: Path | None) -> list[System]:
    """List all systems that have weights; finished training runs are released and included."""
    found = [System(name="logmel", source="logmel")]
    found += [
        System(name=f"{family}-{budget.size}-untrained", source=f"{family}-{budget.size}", untrained=True)
        for family in FAMILIES
    ]
    done = [run for run in training_runs(budget) if (runs / run.name / "summary.json").is_file()]
    sources = {run.name: str(release(runs / run.name, run.preset)) for run in done}
    found += [System(name=name, source=source) for name, source in sources.items()]
    name = f"axlstm-{budget.size}"
    first = sources.get(f"{name}-seed0")
    if first is not None:
        found.append(System(name="axlstm-layout-published", source=first, layout="published"))
        found.append(System(name="axlstm-mean-of-layers", source=first, layers="mean"))
    found += [
        System(name=variant, source=sources[run], pooling="mean+deviation")
        for variant, run in deviation_variants(budget).items()
        if run in sources
    ]
    if encoders is not None:
        here = Path(__file__).parents[1] / "encoders"
        found += [System(name=peer, source=f"{here / peer}.py@{encoders / weights}") for peer, weights in PEERS.items()]
    return found

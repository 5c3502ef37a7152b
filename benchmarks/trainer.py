"""Compare ``axlstm finetune`` with the Trainer of Hugging Face transformers: the same model, clips and epochs.

python -m benchmarks trainer [--clips 400] [--seconds 5] [--epochs 5]
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from axlstm.audio.read import load_audio
from axlstm.checkpoints.sources import find_checkpoint
from axlstm.finetuning.clips import Clip
from axlstm.finetuning.config import FinetuneConfig
from axlstm.finetuning.run import finetune
from axlstm.finetuning.sources import read_clips
from axlstm.finetuning.splits import split_clips
from axlstm.training.config import HardwareConfig, LogConfig, ScheduleConfig
from benchmarks.finetuning import make_mixtures
from benchmarks.machine import describe_machine
from benchmarks.report import save

_VARIATION = 0.1  # of the ratio of two such runs on one machine


def trainer(
    model: str = "axlstm-tiny",
    data: Path | None = None,
    clips: int = 400,
    seconds: float = 5.0,
    epochs: int = 5,
    threads: int = 2,
) -> int:
    """Fine-tune twice from the same probe, in float32, and tell steps per second and the accuracy on held-out clips.

    Both take AdamW with the same rate, warm-up, cosine, batches and clipping of gradients, and keep the best epoch. The
    learning rate falls by layer in the first and not in the second, which has no such setting.

    Args:
        model, data, clips, seconds: as for ``finetuning``.
        epochs: of each.
        threads: of each.
    """
    import torch

    torch.set_num_threads(threads)
    config = replace(
        FinetuneConfig(),
        schedule=ScheduleConfig(epochs=float(epochs), warmup_epochs=1.0),
        hardware=HardwareConfig(device="cpu", precision="float32", threads=threads),
        log=LogConfig(every_steps=1),
    )
    with TemporaryDirectory() as folder:
        if data is None:
            data = Path(folder) / "clips"
            make_mixtures(data, clips, seconds)
        begin, timed = time.perf_counter(), _Timed()
        summary = finetune(model, data, Path(folder) / "run", config, on_metrics=timed.note)
        minutes = (time.perf_counter() - begin) / 60
        ours = {**timed.rates(), "minutes": minutes, "accuracy": summary["scores"]["top1_acc"]}
        find_checkpoint(model).save(Path(folder) / "base")
        theirs = _with_trainer(Path(folder), data, config)
    ratio = theirs["cpu_seconds_per_step"] / ours["cpu_seconds_per_step"]
    row = {"model": model, "clips": summary["clips"], "seconds": seconds, "epochs": epochs, "threads": threads}
    row |= {"axlstm finetune": ours, "Trainer": theirs, "cpu_ratio": ratio}
    print(json.dumps(row, indent=1))
    save("trainer", {"machine": describe_machine(), "rows": [row]})
    _, low, high = ours["accuracy"]
    return 0 if ratio >= 1 - _VARIATION and low <= theirs["accuracy"] <= high else 1


def _with_trainer(folder: Path, data: Path, config: FinetuneConfig) -> dict[str, Any]:
    from transformers import (
        AutoFeatureExtractor,
        AutoModelForAudioClassification,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    import axlstm.hf  # noqa: F401 (makes the Auto classes know the models)

    parts = split_clips(read_clips(data, ()), config.seed)
    extractor = AutoFeatureExtractor.from_pretrained(folder / "base")

    def rows(clips: Sequence[Clip]) -> list[dict[str, Any]]:
        made = []
        for clip in clips:
            features = extractor(load_audio(clip.path), sampling_rate=extractor.sampling_rate)
            made.append({"input_values": features["input_values"][0], "label": clip.labels[0]})
        return made

    def accuracy(judged: Any) -> dict[str, float]:
        return {"accuracy": float((judged.predictions.argmax(-1) == judged.label_ids).mean())}

    begin = time.perf_counter()
    train, optimiser = rows(parts.train), config.optimiser
    steps_per_epoch = -(-len(train) // optimiser.global_batch)
    arguments = TrainingArguments(
        str(folder / "trainer"),
        learning_rate=optimiser.learning_rate,
        weight_decay=optimiser.weight_decay,
        adam_beta2=optimiser.betas[1],
        max_grad_norm=optimiser.clip_norm,
        per_device_train_batch_size=optimiser.global_batch,
        per_device_eval_batch_size=optimiser.global_batch,
        num_train_epochs=config.schedule.epochs,
        warmup_steps=steps_per_epoch,
        lr_scheduler_type="cosine",
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        save_total_limit=1,
        report_to="none",
        use_cpu=True,
        dataloader_pin_memory=False,
        seed=config.seed,
    )
    model = AutoModelForAudioClassification.from_pretrained(folder / "base", id2label=dict(enumerate(parts.labels)))
    run = Trainer(
        model,
        arguments,
        train_dataset=train,
        eval_dataset=rows(parts.valid),
        processing_class=extractor,
        data_collator=DataCollatorWithPadding(extractor),
        compute_metrics=accuracy,
    )
    model.fit_head(run.get_train_dataloader(), run.get_eval_dataloader())
    timed = _Timed()
    run.add_callback(timed.callback())
    run.train()
    return {
        **timed.rates(),
        "minutes": (time.perf_counter() - begin) / 60,
        "accuracy": run.evaluate(rows(parts.test))["eval_accuracy"],
    }


class _Timed:
    """Notes the moments at which steps end; validation and saving lie between some of them."""

    def __init__(self) -> None:
        self._moments: list[tuple[float, float]] = []

    def note(self, *_: Any) -> None:
        """Note that a step has ended."""
        self._moments.append((time.perf_counter(), time.process_time()))

    def rates(self) -> dict[str, float]:
        """Tell steps per second, and the processor's seconds of a step, which other work here changes less."""
        wall_s, cpu_s = np.median(np.diff(self._moments, axis=0), axis=0)
        return {"steps_per_second": 1 / float(wall_s), "cpu_seconds_per_step": float(cpu_s)}

    def callback(self) -> Any:
        """Return what calls `note` after each step of a Trainer."""
        from transformers import TrainerCallback

        timed = self

        class Callback(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                timed.note()

        return Callback()

"""Define small tasks of MTEB on the bundled drum strokes: classification, clustering, pairs and retrieval."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import datasets
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.pair_classification import AbsTaskPairClassification
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata

from axlstm.samples import Stroke, strokes

COMMON = {"kick", "snare"}


def metadata(name: str, kind: Any, main_score: str) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description="Drums of several kits.",
        reference="https://example.org",
        dataset={"path": "example/drums", "revision": "1"},
        type=kind,
        category="a2c",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=main_score,
        modalities=["audio"],
    )


def table(own: list[Stroke]) -> datasets.Dataset:
    """Sounds as the Hub has them: encoded, in a column of Audio."""
    columns = {"audio": [str(stroke.path) for stroke in own], "label": [stroke.label == "kick" for stroke in own]}
    return datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio())


def split() -> tuple[list[Stroke], list[Stroke]]:
    """Kicks and snares of half the kits, and of the others."""
    own = [stroke for stroke in strokes() if stroke.label in COMMON]
    kits = sorted({stroke.group for stroke in own})
    train = kits[: len(kits) // 2]
    return [stroke for stroke in own if stroke.group in train], [stroke for stroke in own if stroke.group not in train]


class Drums(AbsTaskClassification):
    metadata = metadata("Drums", "AudioClassification", "accuracy")
    input_column_name = "audio"
    n_experiments = 2

    def load_data(self, **_: Any) -> None:
        train, test = split()
        self.dataset = datasets.DatasetDict(train=table(train), test=table(test))
        self.data_loaded = True


class DrumGroups(AbsTaskClustering):
    metadata = metadata("DrumGroups", "AudioClustering", "v_measure")
    input_column_name = "audio"
    label_column_name = "label"
    max_fraction_of_documents_to_embed = None
    n_clusters = 3

    def load_data(self, **_: Any) -> None:
        self.dataset = datasets.DatasetDict(test=table([*split()[0], *split()[1]]))
        self.data_loaded = True


class DrumPairs(AbsTaskPairClassification):
    metadata = metadata("DrumPairs", "AudioPairClassification", "max_ap")
    input1_column_name = "audio1"
    input2_column_name = "audio2"
    label_column_name = "label"

    def load_data(self, **_: Any) -> None:
        pairs = list(combinations(split()[1], 2))[:40]
        columns = {
            "audio1": [str(one.path) for one, _ in pairs],
            "audio2": [str(other.path) for _, other in pairs],
            "label": [int(one.label == other.label) for one, other in pairs],
        }
        dataset = datasets.Dataset.from_dict(columns)
        for name in ("audio1", "audio2"):
            dataset = dataset.cast_column(name, datasets.Audio())
        self.dataset = datasets.DatasetDict(test=dataset)
        self.data_loaded = True


class DrumRetrieval(AbsTaskRetrieval):
    """Strokes of half the kits look for the same drum among those of the others."""

    metadata = metadata("DrumRetrieval", "Any2AnyRetrieval", "ndcg_at_10").model_copy(update={"category": "a2a"})

    def load_data(self, **_: Any) -> None:
        queries, corpus = split()
        found = {
            f"q{number}": {f"d{place}": int(one.label == other.label) for place, other in enumerate(corpus)}
            for number, one in enumerate(queries)
        }
        data = RetrievalSplitData(
            queries=table(queries).map(lambda _, number: {"id": f"q{number}"}, with_indices=True),
            corpus=table(corpus).map(lambda _, number: {"id": f"d{number}"}, with_indices=True),
            relevant_docs=found,
            top_ranked=None,
        )
        self.dataset = {"default": {"test": data}}
        self.data_loaded = True

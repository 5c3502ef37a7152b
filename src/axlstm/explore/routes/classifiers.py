"""Suggest windows, train, show classifiers, and set thresholds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from axlstm.collection.classifiers.thresholds import set_thresholds
from axlstm.explore.routes.given import Answer, Body, GivenDesk, KnownTable
from axlstm.explore.routes.search import Filters
from axlstm.explore.teaching import describe_classifier, find_folder, score_windows, start_training, suggest
from axlstm.explore.views import BINARY
from axlstm.options import ClassifierMode, GroupName, HeadChoice, SuggestBy

router = APIRouter(prefix="/api")


class SuggestAsked(Body):
    """Options of suggestions; see `axlstm.collection.classifiers.suggest.suggest`."""

    label: str
    classifier: str | None = None
    by: SuggestBy = "margin"
    count: Annotated[int, Field(ge=1, le=1000)] = 20
    filters: Annotated[Filters, Field(default_factory=Filters)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


@router.post("/suggest")
def suggestions(desk: GivenDesk, asked: SuggestAsked, known: KnownTable = None) -> Answer:
    return suggest(desk, asked.model_dump(), known)


class TrainAsked(Body):
    """Options of a training; see `axlstm.collection.classifiers.training.TrainOptions`."""

    labels: Annotated[list[str], Field(min_length=1, max_length=1000)]
    mode: ClassifierMode = "multilabel"
    group: GroupName | None = None
    head: HeadChoice = "logistic"
    weak_negatives: Annotated[int, Field(ge=0, le=20_000)] = 0
    precision: Annotated[float | None, Field(gt=0, le=1)] = None
    recall: Annotated[float | None, Field(gt=0, le=1)] = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


@router.post("/train")
def train(desk: GivenDesk, asked: TrainAsked) -> Answer:
    return {"job": start_training(desk, asked.model_dump()).describe()}


@router.get("/classifier/{name}")
def classifier(desk: GivenDesk, name: str) -> Answer:
    with desk.collection() as collection:
        return describe_classifier(desk, collection, name)


class Threshold(Body):
    """A probability from which on a label counts as heard."""

    label: str
    threshold: Annotated[float, Field(ge=0, le=1)]


@router.post("/classifier/{name}/threshold")
def threshold(desk: GivenDesk, name: str, chosen: Threshold) -> Answer:
    kept = set_thresholds(find_folder(desk, name), {chosen.label: chosen.threshold})
    return {"labels": list(kept.labels), "thresholds": kept.thresholds.tolist()}


@router.get("/scores")
def scores(desk: GivenDesk, classifier: str, label: str | None = None, known: KnownTable = None) -> Response:
    content, _ = score_windows(desk, classifier, label, known)
    return Response(content, media_type=BINARY)

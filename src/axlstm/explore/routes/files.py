"""Run classifiers over the collection, and give what is exported."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from pydantic import Field
from starlette.background import BackgroundTask

from axlstm.collection.classifiers.classifier import load_classifier
from axlstm.collection.classifiers.kept import find_kept
from axlstm.explore.routes.given import Answer, Body, GivenDesk, KnownTable, Number
from axlstm.explore.writing import export, find_export, list_exports, start_detecting
from axlstm.options import DetectionFormat

router = APIRouter(prefix="/api")


class DetectAsked(Body):
    """The classifier to run over the collection, and its options; see `axlstm.collection.detections.run.detect`."""

    classifier: str
    format: DetectionFormat = "csv"
    threshold: Annotated[float | None, Field(gt=0, le=1)] = None
    low: Annotated[float | None, Field(gt=0, le=1)] = None
    gap_s: Annotated[float, Field(ge=0, le=3600)] = 0.0


@router.post("/detect")
def detect(desk: GivenDesk, asked: DetectAsked) -> Answer:
    return {"job": start_detecting(desk, asked.model_dump()).describe()}


@router.get("/detections")
def detections(desk: GivenDesk, recording: Number, classifier: str) -> list[Answer]:
    from axlstm.collection.detections.of_recording import detect_in_recording
    from axlstm.collection.detections.segments import make_rule

    with desk.collection() as collection:
        loaded = load_classifier(find_kept(collection, classifier))
        found = detect_in_recording(collection, loaded, recording, make_rule(loaded.thresholds))
        return [asdict(one) for one in found]


class ExportAsked(Body):
    """The content and the format of a file to write; see `axlstm.explore.writing.export`."""

    what: Literal["hits", "labels", "clips"]
    format: str | None = None
    rows: Annotated[list[int], Field(default_factory=list, max_length=10_000)]
    scores: Annotated[list[float], Field(default_factory=list, max_length=10_000)]
    labels: Annotated[list[str], Field(default_factory=list, max_length=1000)]


@router.post("/export")
def download(desk: GivenDesk, asked: ExportAsked, known: KnownTable = None) -> Response:
    written = export(desk, asked.model_dump(), known)
    return FileResponse(
        written.path,
        filename=written.path.name,
        headers={"x-notes": quote("; ".join(written.notes)[:2000])},
        background=BackgroundTask(written.discard),
    )


@router.get("/exports")
def exports(desk: GivenDesk) -> list[Answer]:
    return [{"name": name, "bytes": path.stat().st_size} for name, path in list_exports(desk.folder).items()]


@router.get("/exports/{name}")
def exported(desk: GivenDesk, name: str) -> Response:
    path = find_export(desk.folder, name)
    return FileResponse(path, filename=path.name)

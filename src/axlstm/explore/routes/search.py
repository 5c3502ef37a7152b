"""Search by windows, labels, stretches and sounds that were sent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from axlstm.explore.finding import find_windows
from axlstm.explore.routes.given import Answer, Body, GivenDesk, KnownTable, Number
from axlstm.options import Combine

router = APIRouter(prefix="/api")


class Place(Body):
    """A stretch of a recording."""

    recording: Number
    start_s: float
    end_s: float


Texts = Annotated[list[str], Field(default_factory=list, max_length=100)]


class Filters(Body):
    """Conditions on the windows that are searched; see `axlstm.collection.search.filters.Filters`."""

    where: Texts
    path: Texts
    after: str | None = None
    before: str | None = None
    hours: str | None = None
    labelled: Texts
    not_labelled: Texts


class Asked(Body):
    """A query and its options; see `axlstm.explore.finding.find_windows`."""

    rows: Annotated[list[int], Field(default_factory=list, max_length=5000)]
    stretches: Annotated[list[Place], Field(default_factory=list, max_length=100)]
    upload: str | None = None
    label: str | None = None
    unlike: Annotated[list[int], Field(default_factory=list, max_length=5000)]
    combine: Combine = "mean"
    count: Annotated[int, Field(ge=1, le=1000)] = 50
    filters: Annotated[Filters, Field(default_factory=Filters)]
    apart_s: float | None = None
    one_per_recording: bool = False
    encoder: str | None = None
    within: bool = False
    exact: bool = False


@router.post("/search")
def search(desk: GivenDesk, asked: Asked, known: KnownTable = None) -> Answer:
    return find_windows(desk, asked.model_dump(), known)


@router.post("/upload")
async def upload(desk: GivenDesk, request: Request, name: str = "") -> Answer:
    content = await request.body()
    kept = await run_in_threadpool(desk.uploads.add, name[:200], content)
    return {"upload": kept.id, "name": kept.name, "duration_s": kept.duration_s, "rate": kept.sample_rate_hz}

"""Take in what a microphone hears, and answer with the scores of its windows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from axlstm.explore.routes.given import Answer, Body, GivenDesk

router = APIRouter(prefix="/api")


class Beginning(Body):
    """A stream by its classifier, and the rate of its samples."""

    classifier: str
    rate_hz: Annotated[float, Field(gt=0, le=1_000_000)]


@router.post("/live/begin")
def begin(desk: GivenDesk, beginning: Beginning) -> Answer:
    return desk.streams.begin(desk, beginning.classifier, beginning.rate_hz)


@router.post("/live")
async def push(desk: GivenDesk, request: Request, stream: str, last: bool = False) -> Answer:
    content = await request.body()
    return await run_in_threadpool(desk.streams.push, desk, stream, content, last)

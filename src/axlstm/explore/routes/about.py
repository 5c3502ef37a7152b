"""Say what the collection has, what job runs, and what others have changed."""

from __future__ import annotations

from fastapi import APIRouter

from axlstm.explore.routes.given import Answer, Body, GivenDesk, Number
from axlstm.explore.summary import summarise, summarise_changes

router = APIRouter(prefix="/api")


@router.get("/about")
def about(desk: GivenDesk) -> Answer:
    with desk.collection() as collection:
        return summarise(desk, collection)


@router.get("/changes")
def changes(desk: GivenDesk, since: str | None = None) -> Answer:
    with desk.collection() as collection:
        return summarise_changes(desk, collection, since)


class Choice(Body):
    encoder: str


@router.post("/encoder")
def encoder(desk: GivenDesk, choice: Choice) -> Answer:
    with desk.collection() as collection:
        desk.choose(collection.encoder(choice.encoder).name)
        return summarise(desk, collection)


@router.get("/job")
def job(desk: GivenDesk, number: Number | None = None) -> Answer:
    found = desk.jobs.latest if number is None else desk.jobs.find(number)
    return {"job": None if found is None else found.describe()}


class Ended(Body):
    """Names the job that is to end: where another one runs by now, that one goes on."""

    number: Number


@router.post("/job/cancel")
def cancel(desk: GivenDesk, ended: Ended) -> Answer:
    desk.jobs.cancel(ended.number)
    return job(desk, ended.number)

"""Give labels, take them back, and list what was said."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from axlstm.collection.labels.history import list_history, list_undone
from axlstm.collection.labels.table import undo as take_back
from axlstm.explore.finding import label_windows
from axlstm.explore.routes.given import Answer, Body, GivenDesk, KnownTable, Number
from axlstm.options import Verdict

router = APIRouter(prefix="/api")


class Item(Body):
    """A window by its row, or a stretch of a recording."""

    row: int | None = None
    recording: Number | None = None
    start_s: float | None = None
    end_s: float | None = None


class Given(Body):
    """A label for several windows or stretches."""

    label: str
    verdict: Verdict
    items: Annotated[list[Item], Field(min_length=1, max_length=10_000)]
    author: str = ""


@router.post("/labels")
def give(desk: GivenDesk, given: Given, known: KnownTable = None) -> Answer:
    items = [item.model_dump(exclude_none=True) for item in given.items]
    with desk.collection() as collection:
        return label_windows(desk, collection, items, given.label, given.verdict, given.author, known)


class TakenBack(Body):
    """Numbers of labels, of which some may have been taken back by somebody else; none are those of the latest step."""

    ids: Annotated[list[Number] | None, Field(max_length=10_000)] = None


@router.post("/labels/undo")
def undo(desk: GivenDesk, taken: TakenBack) -> Answer:
    with desk.collection() as collection:
        undone = set() if taken.ids is None else list_undone(collection, taken.ids)
        left = [number for number in taken.ids or [] if number not in undone]
        return {"undone": take_back(collection, left or taken.ids)}


@router.get("/labels")
def history(
    desk: GivenDesk,
    label: str | None = None,
    recording: Number | None = None,
    after: Number | None = None,
    count: int = 100,
) -> list[Answer]:
    with desk.collection() as collection:
        found = list_history(collection, label=label, recording=recording, before=after, count=count)
        return [asdict(said) for said in found]

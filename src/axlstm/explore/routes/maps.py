"""Give the map and what it is coloured by; have it drawn, and recordings indexed."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from axlstm.explore.opening import start_indexing
from axlstm.explore.routes.given import Answer, GivenDesk, KnownTable
from axlstm.explore.views import BINARY, describe_rows, list_labelled, pack_map, start_map

router = APIRouter(prefix="/api")


@router.get("/map")
def read(desk: GivenDesk) -> Response:
    with desk.collection() as collection:
        return Response(pack_map(desk, collection), media_type=BINARY)


@router.post("/map")
def draw(desk: GivenDesk) -> Answer:
    return {"job": start_map(desk).describe()}


@router.post("/index")
def index(desk: GivenDesk) -> Answer:
    return {"job": start_indexing(desk).describe()}


@router.get("/rows")
def rows(desk: GivenDesk, rows: str, known: KnownTable = None) -> list[Answer]:
    with desk.collection() as collection:
        return describe_rows(desk, collection, rows, known)


@router.get("/labelled")
def labelled(desk: GivenDesk, label: str, known: KnownTable = None) -> list[Answer]:
    with desk.collection() as collection:
        return list_labelled(desk, collection, label, known)

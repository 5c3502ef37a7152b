"""Give recordings: their list, their facts, their spectrogram and their sound."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response

from axlstm.explore.pictures import Theme, View, draw_spectrogram
from axlstm.explore.routes.given import Answer, GivenDesk, Number
from axlstm.explore.shelf import describe_recording, list_page_of
from axlstm.explore.sounds import cut_range, make_playable

router = APIRouter(prefix="/api")


@router.get("/recordings")
def listing(desk: GivenDesk, after: str = "", like: str = "", count: int = 100) -> Answer:
    with desk.collection() as collection:
        return list_page_of(desk, collection, after, like, count)


@router.get("/recording/{number}")
def facts(desk: GivenDesk, number: Number) -> Answer:
    with desk.collection() as collection:
        return describe_recording(desk, collection, number)


@router.get("/recording/{number}/spectrogram.png")
def spectrogram(
    desk: GivenDesk,
    number: Number,
    start_s: float,
    end_s: float,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    width: int = 800,
    height: int = 256,
    theme: Theme = "dark",
    content: str | None = None,
) -> Response:
    view = View(start_s, end_s, low_hz, high_hz, width, height, theme)
    with desk.collection() as collection:
        sound = desk.places.find(collection, number, content)
    picture = draw_spectrogram(sound.place, view)
    desk.places.confirm(sound)
    told = {
        "x-columns": str(picture.columns),
        "x-share": f"{picture.share:.4f}",
        "x-high-hz": f"{picture.high_hz:g}",
        "cache-control": "private, max-age=60",
    }
    return Response(picture.png, media_type="image/png", headers=told)


@router.get("/recording/{number}/sound.wav")
def sound(
    desk: GivenDesk,
    number: Number,
    start_s: float,
    end_s: float,
    low_hz: float | None = None,
    high_hz: float | None = None,
    slower: int = 1,
    content: str | None = None,
    range: Annotated[str | None, Header()] = None,
) -> Response:
    with desk.collection() as collection:
        found = desk.places.find(collection, number, content)
    asked = (start_s, min(end_s, found.duration_s), low_hz, high_hz, slower)

    def make() -> bytes:
        made = make_playable(found.place, *asked)
        desk.places.confirm(found)
        return made

    return answer_range(desk.recent.get((found.content, *asked), make), range)


def answer_range(content: bytes, asked: str | None) -> Response:
    """Answer with a sound, or the part of it that is asked for."""
    cut = cut_range(asked, len(content))
    headers = {"accept-ranges": "bytes"}
    if cut is None:
        return Response(content, media_type="audio/wav", headers=headers)
    begin, end = cut
    headers["content-range"] = f"bytes {begin}-{end - 1}/{len(content)}"
    return Response(content[begin:end], 206, media_type="audio/wav", headers=headers)

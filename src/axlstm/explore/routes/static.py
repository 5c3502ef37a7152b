"""Give the files of the page."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from axlstm.explore.places import NoSuchError

router = APIRouter()
PAGE = Path(str(resources.files("axlstm.explore") / "page"))
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def list_page() -> dict[str, Path]:
    """List the files of the page by their names in it. Nothing else is ever given."""
    files = (path for path in sorted(PAGE.rglob("*")) if path.is_file() and path.suffix in _TYPES)
    return {path.relative_to(PAGE).as_posix(): path for path in files}


@router.get("/")
def index() -> Response:
    return page_file("index.html")


@router.get("/page/{name:path}")
def page_file(name: str) -> Response:
    path = list_page().get(name)
    if path is None:
        raise NoSuchError(f"{name[:80]}: no file of the page")
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})


@router.get("/api/strings")
def strings() -> Response:
    return page_file("strings.json")

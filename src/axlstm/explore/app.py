"""Make the server of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from axlstm.errors import AxlstmError, DamageError, WriteError, describe_error
from axlstm.explore.desk import Desk, StaleError
from axlstm.explore.guard import Address, Guard
from axlstm.explore.places import ChangedError, NoSuchError
from axlstm.explore.routes import about, classifiers, files, labels, live, maps, recordings, search, static
from axlstm.explore.sounds import RangeError
from axlstm.locks import InUseError

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NoSuchError, 404),
    (RangeError, 416),
    (ChangedError, 409),
    (StaleError, 412),
    (InUseError, 409),
    (WriteError, 503),
    (DamageError, 503),
    (AxlstmError, 400),
    (FileNotFoundError, 409),
    (ImportError, 503),
)


def make_app(desk: Desk, token: str, address: Address) -> Guard:
    """Make the server for one collection.

    Args:
        token: whoever has it may do everything that the page can do.
        address: where the server listens.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        desk.close()

    app = FastAPI(
        title="axlstm explore",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    for room in (about, maps, recordings, search, labels, classifiers, files, live, static):
        app.include_router(room.router)
    for kind, status in _STATUS:
        app.add_exception_handler(kind, _answer_with(status))
    app.add_exception_handler(RequestValidationError, _refuse_form)
    app.add_exception_handler(HTTPException, _say_status)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)
    return Guard(app, address, token)


def _answer_with(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        del request
        return JSONResponse({"error": _in_words(error)}, status)

    return answer


def _in_words(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        module = str(error.name).partition(".")[0]
        return f'this needs {module}: pip install "axlstm[evaluate]"'
    return describe_error(error)


async def _refuse_form(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()[:5])
    return JSONResponse({"error": f"a request that cannot be read: {told}"}, 400)


async def _say_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = f"{request.url.path}: nothing there" if error.status_code == 404 else str(error.detail)
    return JSONResponse({"error": told}, error.status_code)

"""Run the server: choose a port, print the address with its token, and open a browser if asked."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from axlstm.errors import ConfigError
from axlstm.explore.app import make_app
from axlstm.explore.desk import Desk
from axlstm.explore.guard import Address

_LEAVE_SECONDS = 5  # that requests may take which are under way when the server ends
_MORE_PORTS = 20  # that are tried to name a free one


def bind(host: str, port: int) -> socket.socket:
    """Listen at a port; 0 is any that is free.

    Raises:
        ConfigError: it is in use, which port is free instead; or no such host.
    """
    try:
        return _listen(host, port)
    except (OSError, OverflowError) as error:
        free = next((other for other in range(port + 1, port + _MORE_PORTS) if _is_free(host, other)), None)
        if free is None:
            raise ConfigError(f"{host}:{port}: cannot be listened at ({error})") from error
        raise ConfigError(f"port {port} is in use; {free} is free: --port {free}") from error


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(found[0], found[1], found[2])
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(found[4])
        opened.listen(128)
    except BaseException:
        opened.close()
        raise
    return opened


def _is_free(host: str, port: int) -> bool:
    try:
        _listen(host, port).close()
    except (OSError, OverflowError):
        return False
    return True


def serve(desk: Desk, host: str, port: int, show: Callable[[str, Address], None], open_browser: bool = False) -> None:
    """Serve the page until Ctrl-C.

    Args:
        show: called with the link and the address, once the port is open.

    Raises:
        ConfigError: the port is in use.
    """
    token = secrets.token_urlsafe(24)
    with bind(host, port) as listening, suppress(KeyboardInterrupt):  # which ends it
        address = Address(host, listening.getsockname()[1], (socket.gethostname().lower(),))
        link = f"http://{_host_in_link(host)}:{address.port}/?token={token}"
        show(link, address)
        if open_browser:
            webbrowser.open(link)
        app = make_app(desk, token, address)
        quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
        config = uvicorn.Config(app, lifespan="on", timeout_graceful_shutdown=_LEAVE_SECONDS, **quiet)
        uvicorn.Server(config).run(sockets=[listening])


def _host_in_link(host: str) -> str:
    """Return the host as a link has it; where all addresses are listened at, that of this machine."""
    if host in ("0.0.0.0", "::"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, suppress(OSError):
            asked.connect(("192.0.2.1", 9))  # of nobody (RFC 5737); nothing is sent, but our own address is chosen
            return str(asked.getsockname()[0])
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host

"""Answer only requests that have the token, name our own address and are not too large; limit what the page may do.

A page of another site cannot read answers of ours, but it can send requests, and a name of its own may lead to this
machine (DNS rebinding). So requests must name one of our hosts, come from one of our pages, and carry the token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES = 1 << 20
MOST_UPLOAD_BYTES = 64 << 20
UPLOADS = ("/api/upload", "/api/live")
"""Paths whose bodies are sounds."""

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_SAFE = ("GET", "HEAD")
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")
_PLAIN_PORT = 80  # which browsers leave out


@dataclass(frozen=True)
class Address:
    """The address at which the server listens.

    Args:
        host: as it was asked for; one that is no loopback address is reached by others.
        names: further names that the machine is called by.
    """

    host: str
    port: int
    names: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def owns(self, host: str) -> bool:
        """Tell whether a Host header is ours.

        Where the server listens on all addresses, any address in numbers counts as ours. That is safe: DNS rebinding
        works with a name, and the header would hold that name.
        """
        found = _HOST.fullmatch(host.lower())
        if found is None or int(found["port"] or _PLAIN_PORT) != self.port:
            return False
        name, own = found["name"], self.host.lower()
        if name in ("127.0.0.1", "localhost", "[::1]", own, f"[{own}]", *self.names):
            return True
        return self.host in ("0.0.0.0", "::") and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Refusal(Exception):
    """A request that is not answered, with its status and the reason."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status


class Guard:
    """Wraps an application: checks host, origin, token and sizes, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, address: Address, token: str) -> None:
        self.app, self.address, self.token = app, address, token
        self.cookie = f"axlstm_{address.port}"  # cookies are shared by all ports of a host
        self.name = hashlib.sha256(token.encode()).hexdigest()[:16]
        """Name of this start of the server, which others at the same address do not have."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = _Answer(send, self.name)
        try:
            if (place := self._admit(scope)) is not None:
                await answer.go_to(place, f"{self.cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/")
                return
            given = await _read_body(scope, receive)
            if given is None:
                return
        except Refusal as refusal:
            await answer.refuse(refusal)
            return
        await self.app(scope, given, answer.send)

    def _admit(self, scope: Scope) -> str | None:
        """Check a request. If the token is in its address, return the same address without it, for a redirect."""
        headers = _headers_of(scope)
        if not self.address.owns(headers.get("host", "")):
            raise Refusal(
                421, f"host {headers.get('host', '')[:80]!r} is not this server's; open the address that it printed"
            )
        origin, is_safe = headers.get("origin"), scope["method"] in _SAFE
        if origin is not None and origin != f"http://{headers['host']}":
            raise Refusal(403, f"a request of another page ({origin[:80]}); only the page of this server may ask")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and is_safe and self._fits(query.get("token", [""])[0]):
            rest = urlencode({name: values for name, values in query.items() if name != "token"}, doseq=True)
            return f"/?{rest}" if rest else "/"
        if headers.get("x-server", self.name) != self.name:  # an old tab, whose browser has the cookie of a new one
            raise Refusal(
                401, "the page is of a server that has ended; open the address that axlstm explore prints now"
            )
        if self._fits(headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        if not self._fits(self._cookie_of(headers)):
            raise Refusal(401, "no token, or a wrong one; open the address that axlstm explore printed, with its token")
        if origin is None and not is_safe:
            raise Refusal(403, "a change without an Origin header; send one, or send the token as a bearer")
        return None

    def _cookie_of(self, headers: dict[str, str]) -> str:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if cookie is None else cookie.value

    def _fits(self, token: str) -> bool:
        """Compare tokens in a time that does not depend on how many characters are right."""
        return hmac.compare_digest(token.encode(), self.token.encode())


def _headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def _read_body(scope: Scope, receive: Receive) -> Receive | None:
    """Read a body of bounded size, and return what gives it, and then waits for the end of the connection.

    None is a body that has no end: the page was closed meanwhile.
    """
    most = MOST_UPLOAD_BYTES if scope["path"] in UPLOADS else MOST_BODY_BYTES
    length = _headers_of(scope).get("content-length", "0")
    body, more = bytearray(), True
    _check_size(int(length) if length.isdecimal() else 0, most)
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        _check_size(len(body), most)
    return _giving({"type": "http.request", "body": bytes(body), "more_body": False}, receive)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Refusal(413, f"{size} bytes were sent; expected at most {most}")


def _giving(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give


class _Answer:
    """Sends an answer with the headers of the guard."""

    def __init__(self, send: Send, server: str) -> None:
        self._send = send
        self._headers = {**_HEADERS, "x-server": server}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            added = [
                (name.encode(), value.encode()) for name, value in self._headers.items() if name.encode() not in own
            ]
            if b"cache-control" not in own:
                added.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)

    async def go_to(self, place: str, cookie: str) -> None:
        await self._whole(303, [(b"location", place.encode()), (b"set-cookie", cookie.encode())], b"")

    async def refuse(self, refusal: Refusal) -> None:
        content = json.dumps({"error": str(refusal)}).encode()
        await self._whole(refusal.status, [(b"content-type", b"application/json")], content)

    async def _whole(self, status: int, headers: Sequence[tuple[bytes, bytes]], content: bytes) -> None:
        length = (b"content-length", str(len(content)).encode())
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": content})

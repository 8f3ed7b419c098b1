"""Who is answered: Host and Origin are checked, a token is exchanged for a cookie, bodies and crowds are limited.

Written on ASGI itself, in front of everything else, so that no route can be reached around it.
"""

import json
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import anyio

from sceneminer.serve.settings import MAX_BODY, MAX_BODY_SECONDS, MAX_IMAGE_BODY, MAX_WAITING, Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "sceneminer_session"
_OPEN = ("/static/",)
"""Files of the program itself, which hold nothing of anybody's data."""
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_ENTER = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>sceneminer</title>"
    "<link rel=stylesheet href=/static/enter.css><script type=module src=/static/enter.js></script>"
    "<main><h1>sceneminer</h1><p id=said>This page needs the address that <code>sceneminer serve</code> printed, "
    "with its token. Open it once in this browser; then this link works.</p></main></html>"
)


class Gate:
    """Lets through what may pass, and answers the rest itself."""

    def __init__(self, app: App, settings: Settings):
        self.app, self.settings = app, settings
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = _single(scope["headers"])
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if self.waiting >= MAX_WAITING:
            await _answer(send, 503, "too many requests at once; try again", [("retry-after", "1")])
            return
        self.waiting += 1
        try:
            await self._pass(scope, receive, send)
        finally:
            self.waiting -= 1

    def _refusal(self, scope: Scope, headers: dict[str, str | None]) -> tuple[Any, ...] | None:
        """Status, text and headers of an answer that is no; None where the request may pass."""
        host, origin = headers.get("host"), headers.get("origin")
        if host is None or host.lower() not in self.settings.hosts:
            known = ", ".join(sorted(self.settings.hosts))
            return 421, f"expected this server to be called {known}, found another name"
        if "origin" in headers and (origin or "").lower() not in self.settings.allowed_origins:
            return 403, "expected a request from this page, found one from another site"
        # Another port of this machine is the same site to a browser, and gets its cookies: but it is not this page.
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and scope["path"] != "/":
            return 403, "expected a request from this page, found one from another site"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST", [("allow", "GET, HEAD, POST")]
        if scope["method"] == "POST" and (headers.get("content-type") or "").split(";")[0] != "application/json":
            return 415, "expected a body of application/json"
        if self.settings.token is None or scope["path"].startswith(_OPEN):
            return None
        told = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["path"] == "/" and "token" in told:
            return self._exchange(told, host)
        expected = self.settings.session.encode()
        if any(secrets.compare_digest(value.encode(), expected) for value in _cookies(headers.get("cookie"), host)):
            return None
        if scope["path"] == "/":
            return 401, _ENTER, [("content-type", "text/html; charset=utf-8")]
        return 401, "expected the session of this server; open the address that sceneminer serve printed"

    def _exchange(self, told: dict[str, str], host: str) -> tuple[Any, ...]:
        assert self.settings.token is not None
        if not secrets.compare_digest(told.pop("token").encode(), self.settings.token.encode()):
            return 401, _ENTER, [("content-type", "text/html; charset=utf-8")]
        rest = f"/?{urlencode(told)}" if told else "/"
        secure = "; Secure" if f"https://{host.lower()}" in self.settings.allowed_origins else ""
        cookie = f"{cookie_name(host)}={self.settings.session}; HttpOnly; SameSite=Strict; Path=/{secure}"
        return 303, "", [("location", rest), ("set-cookie", cookie), ("cache-control", "no-store")]

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_IMAGE_BODY if scope["path"] == "/api/search" else MAX_BODY
        headers = _single(scope["headers"])
        if "content-length" in headers and not _within(headers["content-length"], limit):
            await _answer(send, *_too_large(limit))
            return
        body, told = _Body(receive, limit), False

        async def guarded(message: MutableMapping[str, Any]) -> None:
            nonlocal told
            if body.refusal is not None:
                # Whatever the app made of half a body is not sent.
                if not told:
                    told = True
                    await _answer(send, *body.refusal)
                return
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in named]
                if b"cache-control" not in named:
                    extra.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, body.receive, guarded)


class _BodyRefused(Exception):
    """A body that goes on beyond what it may, or never ends."""


class _Body:
    """The body of a request, counted and timed as it comes in."""

    def __init__(self, receive: Receive, limit: int):
        self._receive, self._limit = receive, limit
        self._seen, self._whole = 0, False
        self._until = anyio.current_time() + MAX_BODY_SECONDS
        self.refusal: tuple[int, str] | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        message: MutableMapping[str, Any] = {"type": "http.disconnect"}
        # After a body only the end of the connection is waited for, however long the answer takes.
        with anyio.CancelScope(deadline=math.inf if self._whole else self._until) as scope:
            message = await self._receive()
        if scope.cancelled_caught:
            self.refusal = 408, f"expected the whole body within {MAX_BODY_SECONDS:g} s"
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            self.refusal = _too_large(self._limit)
        if self.refusal is not None:
            raise _BodyRefused
        self._whole = not message.get("more_body", False)
        return message


def _too_large(limit: int) -> tuple[int, str]:
    return 413, f"expected a body of at most {limit} bytes"


def _within(declared: str | None, limit: int) -> bool:
    return declared is not None and bool(re.fullmatch("[0-9]{1,12}", declared)) and int(declared) <= limit


def _single(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str | None]:
    """Headers by name; None for one that comes twice with different values, which is no honest browser's."""
    found: dict[str, str | None] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = text if found.get(key, text) == text else None
    return found


def cookie_name(host: str) -> str:
    """Of a session, for a Host header. A browser sends a cookie to every port of a host: each has its own name."""
    port = host.rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isdigit() else COOKIE


def _cookies(header: str | None, host: str) -> list[str]:
    """Sessions that a request claims. Other servers' cookies of the same host come along, well formed or not."""
    pairs = (part.strip().partition("=") for part in (header or "").split(";"))
    return [value for key, _, value in pairs if key == cookie_name(host)]


async def _answer(send: Send, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    told = dict(headers)
    if "content-type" not in told:
        told["content-type"] = "application/json"
        text = json.dumps({"error": text})
    told = {**_HEADERS, "cache-control": "no-store", **told, "content-length": str(len(text.encode()))}
    encoded = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})

"""Who is answered: Host and Origin are checked, a token is exchanged for a cookie, bodies and crowds are limited.

Written on ASGI itself, in front of everything else, so that no route can be reached around it.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sceneminer.serve.settings import MAX_BODY, MAX_IMAGE_BODY, MAX_WAITING, Settings

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
        if origin is not None and origin.lower() not in {f"http://{name}" for name in self.settings.hosts}:
            return 403, "expected a request from this page, found one from another site"
        if headers.get("sec-fetch-site") == "cross-site" and scope["path"] != "/":
            return 403, "expected a request from this page, found one from another site"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST", [("allow", "GET, HEAD, POST")]
        if scope["method"] == "POST" and (headers.get("content-type") or "").split(";")[0] != "application/json":
            return 415, "expected a body of application/json"
        if self.settings.token is None or scope["path"].startswith(_OPEN):
            return None
        told = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["path"] == "/" and "token" in told:
            return self._exchange(told)
        if _cookie(headers.get("cookie")) and secrets.compare_digest(
            str(_cookie(headers.get("cookie"))), self.settings.session
        ):
            return None
        if scope["path"] == "/":
            return 401, _ENTER, [("content-type", "text/html; charset=utf-8")]
        return 401, "expected the session of this server; open the address that sceneminer serve printed"

    def _exchange(self, told: dict[str, str]) -> tuple[Any, ...]:
        assert self.settings.token is not None
        if not secrets.compare_digest(told.pop("token").encode(), self.settings.token.encode()):
            return 401, _ENTER, [("content-type", "text/html; charset=utf-8")]
        rest = f"/?{urlencode(told)}" if told else "/"
        cookie = f"{COOKIE}={self.settings.session}; HttpOnly; SameSite=Strict; Path=/"
        return 303, "", [("location", rest), ("set-cookie", cookie), ("cache-control", "no-store")]

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_IMAGE_BODY if scope["path"] == "/api/search" else MAX_BODY
        declared = _single(scope["headers"]).get("content-length")
        if declared is not None and (not declared.isdigit() or int(declared) > limit):
            await _answer(send, 413, f"expected a body of at most {limit} bytes")
            return
        seen, refused = 0, False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge
            return message

        async def guarded(message: MutableMapping[str, Any]) -> None:
            nonlocal refused
            if seen > limit:
                # Whatever the app made of half a body is not sent.
                if not refused:
                    refused = True
                    await _answer(send, 413, f"expected a body of at most {limit} bytes")
                return
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in named]
                if b"cache-control" not in named:
                    extra.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, counted, guarded)


class _TooLarge(Exception):
    """A body that goes on beyond what it may."""


def _single(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str | None]:
    """Headers by name; None for one that comes twice with different values, which is no honest browser's."""
    found: dict[str, str | None] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = text if found.get(key, text) == text else None
    return found


def _cookie(header: str | None) -> str | None:
    try:
        morsel = SimpleCookie(header or "").get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


async def _answer(send: Send, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    told = dict(headers)
    if "content-type" not in told:
        told["content-type"] = "application/json"
        text = json.dumps({"error": text})
    told = {**_HEADERS, "cache-control": "no-store", **told, "content-length": str(len(text.encode()))}
    encoded = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})

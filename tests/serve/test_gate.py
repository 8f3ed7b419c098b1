"""Who is answered and who is not: token, cookie, Host, Origin, sizes and crowds."""

import anyio
import pytest
from starlette.testclient import TestClient

from sceneminer.index.errors import IndexFault
from sceneminer.serve.gate import COOKIE, Gate
from sceneminer.serve.run import serve
from sceneminer.serve.settings import MAX_BODY, Settings


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(stranger, settings):
    assert stranger.get("/api/info").status_code == 401
    entered = stranger.get("/", params={"token": settings.token, "q": "a bus"})
    assert entered.status_code == 303 and entered.headers["location"] == "/?q=a+bus"
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and settings.token not in cookie
    assert stranger.get("/api/info").status_code == 200
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize("token", ["", "x", "ü", "null"])
def test_another_token_opens_nothing(stranger, token):
    answer = stranger.get("/", params={"token": token})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert stranger.get("/api/info").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/info",
        "/api/openapi.json",
        "/api/clips/x",
        "/media/thumbs/x",
        "/api/map",
        "/api/selections",
        "/nothing",
    ],
)
def test_nothing_is_told_without_a_session(stranger, path):
    assert stranger.get(path).status_code == 401
    stranger.cookies.set(COOKIE, "guess")
    assert stranger.get(path).status_code == 401


def test_a_cookie_that_is_none_is_no_session(stranger):
    for header in (f"{COOKIE}=", f"{COOKIE}", "=;;=", f'{COOKIE}="\\999"', "a" * 5000):
        assert stranger.get("/api/info", headers={"cookie": header}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost:8766", "127.0.0.1:8765.evil.example", ""]
)
def test_another_name_for_this_machine_is_not_answered(client, host):
    assert client.get("/api/info", headers={"host": host}).status_code == 421


def test_its_own_names_are(client):
    for host in ("127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST:8765"):
        assert client.get("/api/info", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:8766"])
def test_other_sites_are_refused(client, origin):
    assert client.post("/api/search", json={"where": "risk > 0"}, headers={"origin": origin}).status_code == 403
    assert client.get("/api/info", headers={"origin": origin}).status_code == 403


def test_a_request_that_another_site_started_is_refused_and_its_link_is_not(client):
    assert client.get("/api/info", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_forms_cannot_post(client):
    answer = client.post("/api/search", content='{"where": "risk > 0"}', headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_other_methods_are_refused(client):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert client.request(method, "/api/info").status_code == 405


def test_a_large_body_is_refused_declared_or_not(client):
    body = b'{"where": "' + b"x" * MAX_BODY + b'"}'
    headers = {"content-type": "application/json"}
    assert client.post("/api/train", content=body, headers=headers).status_code == 413
    assert client.post("/api/train", content=iter([body]), headers=headers).status_code == 413
    assert client.post("/api/train", content=b"{}", headers=headers | {"content-length": "x"}).status_code == 413


def test_every_answer_carries_the_browser_rules(client, stranger):
    for answer in (
        client.get("/"),
        client.get("/api/info"),
        client.get("/nothing"),
        stranger.get("/", headers={"host": "x"}),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_a_header_that_comes_twice_is_not_believed(gate):
    sent = []

    async def run():
        scope = {
            "type": "http", "method": "GET", "path": "/api/info", "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8765"), (b"host", b"evil.example")],
        }  # fmt: skip

        async def send(message):
            sent.append(message)

        await gate(scope, None, send)

    anyio.run(run)
    assert sent[0]["status"] == 421


def test_one_request_too_many_is_told_to_come_again(settings):
    async def app(scope, receive, send):
        await anyio.sleep(30)

    gate = Gate(app, settings)
    gate.waiting = 512
    client = TestClient(gate, base_url="http://127.0.0.1:8765", cookies={COOKIE: settings.session})
    answer = client.get("/api/info")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1" and gate.waiting == 512


def test_without_a_token_only_this_machine_is_served(town):
    with pytest.raises(IndexFault, match="token beyond loopback"):
        serve(Settings(town.folder, host="0.0.0.0", token=None))

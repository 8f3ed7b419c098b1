"""Who is answered and who is not: token, cookie, Host, Origin, sizes and crowds."""

from pathlib import Path

import anyio
import pytest
from starlette.testclient import TestClient

from sceneminer.index.errors import IndexFault
from sceneminer.serve import gate as gate_module
from sceneminer.serve.app import make_app
from sceneminer.serve.gate import Gate, cookie_name
from sceneminer.serve.run import serve
from sceneminer.serve.settings import MAX_BODY, Settings

SESSION = cookie_name("127.0.0.1:8765")


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
    stranger.cookies.set(SESSION, "guess")
    assert stranger.get(path).status_code == 401


def test_a_cookie_that_is_none_is_no_session(stranger):
    for header in (f"{SESSION}=", f"{SESSION}", "=;;=", f'{SESSION}="\\999"', "a" * 5000):
        assert stranger.get("/api/info", headers={"cookie": header}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost:8766", "127.0.0.1:8765.evil.example", ""]
)
def test_another_name_for_this_machine_is_not_answered(client, host):
    assert client.get("/api/info", headers={"host": host}).status_code == 421


def test_its_own_names_are(client):
    for host in ("127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST:8765"):
        assert client.get("/api/info", headers={"host": host}).status_code == 200


def test_another_address_of_it_is_answered_where_it_was_named(town, tmp_path):
    """A tunnel to another port, a proxy with TLS."""
    addresses = ("http://localhost:9000", "https://Scenes.Example/")
    settings = Settings(town.folder, host="0.0.0.0", exports=tmp_path, origins=addresses)
    client = TestClient(Gate(make_app(town, settings), settings), base_url=addresses[0], follow_redirects=False)
    assert settings.url.startswith("http://localhost:9000/?token=")
    for origin, host in ((addresses[0], "localhost:9000"), ("https://scenes.example", "scenes.example")):
        headers = {"host": host, "origin": origin}
        entered = client.get("/", params={"token": settings.token}, headers=headers)
        assert entered.status_code == 303
        assert entered.headers["set-cookie"].endswith("Secure") == origin.startswith("https")
        headers["cookie"] = entered.headers["set-cookie"].split(";")[0]
        assert client.post("/api/search", json={"where": "risk > 0"}, headers=headers).status_code == 200
        wrong = headers | {"origin": "http://scenes.example"}
        assert client.post("/api/search", json={"where": "risk > 0"}, headers=wrong).status_code == 403
    assert client.get("/", headers={"host": "0.0.0.0:8765"}).status_code == 421


def test_two_servers_of_one_machine_do_not_end_each_others_sessions(town, client, tmp_path):
    other = Settings(town.folder, port=8766, exports=tmp_path)
    second = TestClient(Gate(make_app(town, other), other), base_url="http://127.0.0.1:8766", follow_redirects=False)
    second.cookies = client.cookies
    assert second.get("/", params={"token": other.token}).status_code == 303
    assert second.get("/api/info").status_code == 200 and client.get("/api/info").status_code == 200


def test_other_programs_cookies_do_not_end_a_session(client, settings):
    session = f"{SESSION}={settings.session}"
    for header in (f'view={{"a": [1, 2]}}; {session}', f"a b; {session}; x[0]=ü", f"{SESSION}=old; {session}"):
        client.cookies.clear()
        assert client.get("/api/info", headers={"cookie": header.encode()}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:8766"])
def test_other_sites_are_refused(client, origin):
    assert client.post("/api/search", json={"where": "risk > 0"}, headers={"origin": origin}).status_code == 403
    assert client.get("/api/info", headers={"origin": origin}).status_code == 403


def test_a_request_that_another_site_started_is_refused_and_its_link_is_not(client):
    for site in ("cross-site", "same-site"):
        assert client.get("/api/info", headers={"sec-fetch-site": site}).status_code == 403
    for site in ("same-origin", "none"):
        assert client.get("/api/info", headers={"sec-fetch-site": site}).status_code == 200
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
    for length in ("x", "-1", "²", "9" * 5000, ""):
        declared = {"content-length": length.encode("latin-1")}
        assert client.post("/api/train", content=b"{}", headers=headers | declared).status_code == 413


def test_a_body_that_never_ends_is_given_up(client, settings, monkeypatch):
    monkeypatch.setattr(gate_module, "MAX_BODY_SECONDS", 0.2)
    sent, parts = [], [b'{"where": ', b'"risk > 0"']

    async def receive():
        if not parts:
            await anyio.sleep(60)
        return {"type": "http.request", "body": parts.pop(0), "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/search", "raw_path": b"/api/search", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8765"), (b"content-type", b"application/json"),
                    (b"cookie", f"{SESSION}={settings.session}".encode())],
    }  # fmt: skip
    anyio.run(client.app, scope, receive, send)
    assert sent[0]["status"] == 408 and len(sent) == 2 and client.app.waiting == 0


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


@pytest.mark.parametrize(
    ("name", "values", "status"),
    [
        ("host", ("127.0.0.1:8765", "evil.example"), 421),
        ("origin", ("http://evil.example", "http://127.0.0.1:8765"), 403),
        ("sec-fetch-site", ("cross-site", "same-origin"), 403),
    ],
)
def test_a_header_that_comes_twice_is_not_believed(gate, settings, name, values, status):
    sent = []

    async def run():
        told = {"host": ("127.0.0.1:8765",), "cookie": (f"{SESSION}={settings.session}",)} | {name: values}
        scope = {
            "type": "http", "method": "GET", "path": "/api/info", "query_string": b"",
            "headers": [(key.encode(), value.encode()) for key, each in told.items() for value in each],
        }  # fmt: skip

        async def send(message):
            sent.append(message)

        await gate(scope, None, send)

    anyio.run(run)
    assert sent[0]["status"] == status


def test_one_request_too_many_is_told_to_come_again(settings):
    async def app(scope, receive, send):
        await anyio.sleep(30)

    gate = Gate(app, settings)
    gate.waiting = 512
    client = TestClient(gate, base_url="http://127.0.0.1:8765", cookies={SESSION: settings.session})
    answer = client.get("/api/info")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1" and gate.waiting == 512


def test_without_a_token_only_this_machine_is_served(town):
    with pytest.raises(IndexFault, match="token beyond loopback"):
        serve(Settings(town.folder, host="0.0.0.0", token=None))
    with pytest.raises(IndexFault, match="token beyond loopback"):
        serve(Settings(town.folder, token=None, origins=("http://localhost:9000",)))


def test_a_server_of_all_addresses_must_know_its_name(town):
    with pytest.raises(IndexFault, match="--origin http://NAME:8765"):
        serve(Settings(town.folder, host="0.0.0.0"))
    with pytest.raises(IndexFault, match=r"found scenes\.example"):
        serve(Settings(town.folder, origins=("scenes.example",)))


def test_selections_go_beside_an_index_however_it_is_named(town, monkeypatch):
    beside = town.folder.with_name(town.folder.name + "-exports")
    assert Settings(town.folder).work == beside
    monkeypatch.chdir(town.folder)
    assert Settings(Path()).work == beside

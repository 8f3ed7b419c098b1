"""Selections and exports of a server: names, what is refused, jobs that end, and two people at once."""

import threading
import time

import pytest

from sceneminer.index.errors import IndexFault
from sceneminer.index.hardness import index_version
from sceneminer.index.selection import Selection, read_selection, write_selection
from sceneminer.serve import library as library_module
from sceneminer.serve.library import Library


@pytest.fixture
def clip(town) -> str:
    return sorted(town.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist())[0]


def end_of(client, job: str) -> dict:
    for _ in range(400):
        told = client.get(f"/api/jobs/{job}").json()
        if told["state"] != "running":
            return told
        time.sleep(0.05)
    raise AssertionError(told)


def test_a_name_that_is_taken_is_said_without_a_path(client, settings, clip):
    assert client.post("/api/selections", json={"name": "mine", "clip_ids": [clip]}).status_code == 200
    for path, body in (("/api/selections", {"clip_ids": [clip]}), ("/api/select", {"n": 1})):
        answer = client.post(path, json={"name": "mine", **body})
        assert answer.status_code == 409
        assert answer.json()["error"] == "expected a new name for the selection, found 'mine' taken"
    assert [path.name for path in settings.work.iterdir()] == ["mine.selection.json"]


def test_a_selection_that_is_not_there_is_not_found(client):
    answers = (
        client.get("/api/selections/nope"),
        client.post("/api/select", json={"name": "new", "n": 1, "exclude": ["nope"]}),
        client.post("/api/exports", json={"selection": "nope", "to": "csv"}),
    )
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json()["error"] == "expected a selection called 'nope', found none"
    assert client.get("/api/jobs/job-1").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        b'{"format": 1, "text": "\\ud800"}',
        b'{"format": 1, "text": "' + b"x" * 1001 + b'"}',
        b'{"format": 1, "where": "nonsense > 1"}',
        b'{"format": 1, "like": ["' + b"x" * 301 + b'"]}',
    ],
)
def test_a_query_that_no_search_would_take_is_not_kept(client, settings, clip, query):
    body = b'{"name": "q", "clip_ids": ["' + clip.encode() + b'"], "query": ' + query + b"}"
    answer = client.post("/api/selections", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and len(answer.content) < 1500
    assert not settings.work.exists()


def test_a_folder_that_cannot_be_written_to_is_said(town, tmp_path, clip, visit):
    (tmp_path / "file").write_text("")
    client = visit(town, tmp_path / "file" / "exports")
    answer = client.post("/api/selections", json={"name": "a", "clip_ids": [clip]})
    assert answer.status_code == 400 and "expected to write a selection" in answer.json()["error"]
    assert client.get("/api/selections").json() == []


def test_of_two_who_write_one_name_the_first_keeps_what_was_written(town, tmp_path, clip):
    """Both have begun to write when the first is done."""
    first, second = (Selection((), index_version(town.store), (), {}, {"picked": "by hand", "n": n}) for n in (1, 2))
    for k in range(40):
        path, told, start = tmp_path / f"{k}.selection.json", {}, threading.Barrier(2)

        def write(selection, path=path, told=told, start=start):
            start.wait()
            try:
                write_selection(selection, path)
                told[selection.rule["n"]] = True
            except IndexFault:
                told[selection.rule["n"]] = False

        threads = [threading.Thread(target=write, args=(one,)) for one in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told.values()) == [False, True]
        assert told[read_selection(path).rule["n"]]
    assert not list(tmp_path.glob("*.part"))


def test_an_export_that_breaks_ends_and_says_so(client, clip, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("expected a whole disk, found half of one")

    monkeypatch.setattr(library_module, "export_selection", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    client.post("/api/selections", json={"name": "a", "clip_ids": [clip]})
    told = end_of(client, client.post("/api/exports", json={"selection": "a", "to": "csv"}).json()["job"])
    assert told["state"] == "failed" and told["error"] == "expected a whole disk, found half of one"
    # And the next one is not kept waiting for it.
    monkeypatch.undo()
    assert end_of(client, client.post("/api/exports", json={"selection": "a", "to": "csv"}).json()["job"])["items"] == 1


def test_only_so_many_exports_wait(client, clip, monkeypatch):
    go = threading.Event()

    def slow(*_, **__):
        go.wait(30)
        raise IndexFault("enough")

    monkeypatch.setattr(library_module, "export_selection", slow)
    client.post("/api/selections", json={"name": "a", "clip_ids": [clip]})
    try:
        for _ in range(library_module.MAX_RUNNING):
            assert client.post("/api/exports", json={"selection": "a", "to": "csv"}).status_code == 200
        assert client.post("/api/exports", json={"selection": "a", "to": "csv"}).status_code == 503
    finally:
        go.set()
    for number in range(1, library_module.MAX_RUNNING + 1):
        assert end_of(client, f"job-{number}")["state"] == "failed"


def test_jobs_that_have_ended_are_forgotten_in_order(town, tmp_path, clip, monkeypatch):
    monkeypatch.setattr(library_module, "MAX_JOBS", 2)
    library = Library(town, tmp_path)
    library.pick("a", [clip], None)
    for _ in range(5):
        job = library.export("a", "csv")
        while job.state == "running":
            time.sleep(0.01)
    assert list(library.jobs) == ["job-3", "job-4", "job-5"]

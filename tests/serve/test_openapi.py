"""The API against its own OpenAPI document, by schemathesis: nothing breaks it, no answer differs from what it says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from sceneminer.serve.app import make_app
from sceneminer.serve.gate import Gate, cookie_name
from sceneminer.serve.settings import Settings

SESSION = cookie_name("127.0.0.1:8765")
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
OPERATIONS = (
    "GET /api/info",
    "POST /api/search",
    "POST /api/train",
    "GET /api/clips/{clip_id}",
    "GET /api/clips/{clip_id}/scene",
    "GET /media/thumbs/{clip_id}",
    "GET /media/clips/{clip_id}/{camera}/{frame}",
    "GET /api/map",
    "GET /api/map/points",
    "GET /api/map/values",
    "POST /api/facets",
    "POST /api/map/lasso",
    "POST /api/select",
    "POST /api/selections",
    "GET /api/selections",
    "GET /api/selections/{name}",
    "POST /api/exports",
    "GET /api/jobs/{job}",
)


@pytest.fixture(scope="module")
def served(town, tmp_path_factory):
    """Operations by name, and a client that has a session and sees errors as a browser does."""
    told = Settings(town.folder, exports=tmp_path_factory.mktemp("openapi"))
    app = make_app(town, told)
    found = schemathesis.openapi.from_dict(app.openapi()).get_all_operations()
    client = TestClient(Gate(app, told), base_url="http://127.0.0.1:8765", raise_server_exceptions=False)
    client.cookies.set(SESSION, told.session)
    return {operation.ok().label: operation.ok() for operation in found}, client


def test_every_operation_is_tried(served):
    assert sorted(served[0]) == sorted(OPERATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_input_breaks_it(served, label):
    operations, client = served
    operation = operations[label]

    @seed(1)
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def tried(case):
        told = case.as_transport_kwargs(base_url="http://127.0.0.1:8765")
        body = {"json": told["json"]} if "json" in told else {}
        response = client.request(case.method, told["url"], params=told.get("params"), **body)
        case.validate_response(response, checks=CHECKS)

    tried()


def test_the_document_names_what_answers_hold(served):
    """Not only that they are objects: somebody who scripts the API reads it there."""
    for label, operation in served[0].items():
        if label.split()[1].startswith("/api") and "/points" not in label and "/values" not in label:
            (content,) = operation.definition.raw["responses"]["200"]["content"].values()
            told = content["schema"].get("items", content["schema"])
            assert set(told) == {"$ref"}, label


def test_real_answers_hold_what_the_document_says_and_nothing_else(served, town):
    operations, client = served
    clip = sorted(town.store.read("clips", columns=["clip_id"])["clip_id"].to_pylist())[0]
    polygon = [[-9, -9], [9, -9], [9, 9], [-9, 9]]
    where = "agent.category = 'pedestrian'"
    client.post("/api/selections", json={"name": "told", "clip_ids": [clip]})
    for label, path, body in (
        ("GET /api/info", "/api/info", None),
        ("POST /api/search", "/api/search", {}),
        ("POST /api/search", "/api/search", {"text": '"a car" and not "rain"', "like": [clip], "merge": False}),
        ("POST /api/search", "/api/search", {"where": where}),
        ("POST /api/facets", "/api/facets", {"where": where}),
        ("POST /api/train", "/api/train", {"relevant": [clip]}),
        ("GET /api/clips/{clip_id}", f"/api/clips/{clip}", None),
        ("GET /api/clips/{clip_id}/scene", f"/api/clips/{clip}/scene", None),
        ("GET /api/map", "/api/map", None),
        ("POST /api/map/lasso", "/api/map/lasso", {"polygon": polygon}),
        ("POST /api/select", "/api/select", {"name": "told2", "n": 2, "quotas": ["log<=1"]}),
        ("POST /api/selections", "/api/selections", {"name": "told3", "clip_ids": [clip]}),
        ("GET /api/selections", "/api/selections", None),
        ("GET /api/selections/{name}", "/api/selections/told", None),
        ("POST /api/exports", "/api/exports", {"selection": "told", "to": "csv"}),
        ("GET /api/jobs/{job}", "/api/jobs/job-1", None),
    ):
        response = client.get(path) if body is None else client.post(path, json=body)
        assert response.status_code == 200, (label, response.text)
        operation = operations[label]
        operation.validate_response(response)
    assert operations["GET /api/info"].is_valid_response(client.get("/api/info"))
    assert not operations["GET /api/map"].is_valid_response(client.get("/api/info")), "the check can fail"

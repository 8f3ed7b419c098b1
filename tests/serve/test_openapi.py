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

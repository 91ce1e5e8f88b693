"""One line for every request, with what an operator needs and nothing that is the caller's own."""

import json
import subprocess
import sys

import pytest

from app.middleware.request_log import trace
from app.telemetry.metrics import STAGES
from tests.e2e.server import ROOT
from tests.pictures import drawn, encoded

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def lines(server):
    """Parse the whole log; whatever is not JSON fails here."""
    return [json.loads(line) for line in server.log.splitlines()]


def line_of(server, answer):
    """Find the only line of a request."""
    found = [
        line
        for line in lines(server)
        if line.get("request_id") == answer.headers["x-request-id"] and line["event"] == "request"
    ]
    assert len(found) == 1
    return found[0]


def test_a_request_has_one_line_with_everything(server, client):
    answer = client.post("/derain", content=encoded(drawn(70, 90)))
    line = line_of(server, answer)
    assert (line["task"], line["outcome"], line["status"], line["size"]) == ("derain", "ok", 200, "90x70")
    assert line["tiles"] == 4
    assert set(line["stages"]) == set(STAGES)
    assert line["scale"] in ("1", "none")
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_a_failure_is_named(server, client):
    line = line_of(server, client.post("/derain", content=b"hello"))
    assert (line["outcome"], line["problem"], line["status"]) == ("image", "not-an-image", 415)


def test_the_caller_s_trace_is_logged(server, client):
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    line = line_of(server, client.post("/derain", content=b"hello", headers=headers))
    assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT)


def test_file_names_and_keys_are_not_logged(server, client):
    client.post(
        "/derain?token=query-secret",
        files={"file": ("holiday-in-rome.png", encoded(drawn(64, 64)))},
        headers={"authorization": "Bearer header-secret"},
    )
    assert not [word for word in ("holiday-in-rome", "header-secret", "query-secret") if word in server.log]


def test_every_line_is_json_uvicorn_s_own_too(server):
    """Not one line of the log, from the first on, is for people only."""
    assert "Uvicorn running" in "".join(line["event"] for line in lines(server))


def test_probes_are_quiet(server, client):
    client.get("/readyz")
    client.get("/metrics")
    assert not [line for line in lines(server) if line.get("path") in ("/readyz", "/metrics")]


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_local_variables(format):
    program = f"""
import structlog
from app.settings import LogSettings
from app.telemetry.logs import configure_logs
configure_logs(LogSettings(format="{format}"))
def fail(key):
    raise ValueError("for a reason")
try:
    fail("".join(["sec", "ret"]))
except ValueError:
    structlog.get_logger().exception("failed")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "for a reason" in ended.stderr
    assert "secret" not in ended.stderr


@pytest.mark.parametrize(
    ("traceparent", "valid"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"01-{TRACE}-{PARENT}-01-more", True),
        ("", False),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}", False),
    ],
)
def test_only_a_well_formed_traceparent_is_taken(traceparent, valid):
    assert trace(traceparent) == ({"trace_id": TRACE, "parent_id": PARENT} if valid else {})

"""A fault of our own, which no request to the real server can bring about."""

import json

import httpx
import pytest
from fastapi import FastAPI

from app.api import problems
from app.api.problems import Problems
from app.errors import DeviceLost


class WithId:
    """Stand for the request log: give the request an id."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        scope.setdefault("state", {})["request_id"] = "an-id"
        await self.app(scope, receive, send)


def answer_of(error):
    app = FastAPI()

    @app.get("/")
    async def fail():
        raise error

    problems.install(app)
    app.add_middleware(Problems)
    app.add_middleware(WithId)

    async def get():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/")

    import asyncio

    return asyncio.run(get())


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("secret"), OSError(2, "No such file", "/etc/secret"), MemoryError()]
)
def test_a_fault_of_ours_is_500_and_tells_nothing(error):
    answer = answer_of(error)
    assert answer.status_code == 500
    assert json.loads(answer.text) == {
        "type": "/problems/internal-error",
        "title": "Something went wrong on our side",
        "status": 500,
        "detail": "The request met a fault of ours, which has been logged under its request id.",
        "request_id": "an-id",
    }


def test_a_lost_device_is_503_and_says_when_to_come_back():
    answer = answer_of(DeviceLost("The device failed."))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/device-lost")
    assert answer.headers["retry-after"] == "5"

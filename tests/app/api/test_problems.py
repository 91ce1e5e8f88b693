"""A fault of our own, which no request to the real server can bring about."""

import asyncio
import json
import weakref

import httpx
import pytest
from fastapi import FastAPI

from app.api import problems
from app.api.problems import Problems
from app.errors import DeviceLost, UndecodableImage


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


def test_what_a_failure_held_is_let_go_before_the_answer_which_may_wait():
    """The frames of a traceback hold their variables, an upload of many megabytes for instance."""

    class Upload:
        pass

    alive = []

    async def fail(scope, receive, send):
        upload = Upload()
        alive.append(weakref.ref(upload))
        try:
            raise KeyError(upload)
        except KeyError as error:
            raise UndecodableImage("The picture is broken.") from error

    async def send(message):
        if message["type"] == "http.response.start":
            alive.append(alive[0]())

    asyncio.run(WithId(Problems(fail))({"type": "http"}, None, send))
    assert alive[1:] == [None]

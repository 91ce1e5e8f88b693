"""A server process from start to end: what stops it from starting, and how it stops."""

import asyncio
import subprocess
import sys

import httpx
import pytest

from tests.e2e.server import ROOT, run_server
from tests.pictures import drawn, encoded


def start_and_fail(environment, *arguments):
    import os

    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DMSR_")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DMSR_LIMIT_BODY_BYTES": "1"}, ["DMSR_LIMIT_BODY_BYTES", "docs/settings.md"]),
        ({"DMSR_QUEUE_TILES": "many"}, ["DMSR_QUEUE_TILES", "many"]),
        ({"DMSR_WEIGHTS_DERAIN": "/nowhere/w.safetensors"}, ["/nowhere/w.safetensors", "No such file"]),
        ({"DMSR_DEVICES": "cuda:77"}, ["DMSR_DEVICES", "cuda:77"]),
        ({"DMSR_DEVICES": "tpu"}, ["DMSR_DEVICES", "tpu"]),
        ({"DMSR_QUEUE_TILES": "100"}, ["DMSR_QUEUE_TILES=100", "DMSR_LIMITS_PIXELS=50000000"]),
    ],
)
def test_what_cannot_start_says_why_in_one_line(environment, words):
    ended = start_and_fail(environment)
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("dmsr: ")
    assert all(word in last for word in words)
    assert "Traceback" not in ended.stderr


def test_weights_of_another_task_are_refused(tiny_weights):
    ended = start_and_fail({"DMSR_WEIGHTS_DEHAZE": str(tiny_weights)})
    assert ended.returncode == 2
    assert "holds weights for derain, not for dehaze" in ended.stderr


def test_sigterm_finishes_what_is_in_flight(tiny_weights, tmp_path):
    """A picture that is being restored when SIGTERM comes is still answered; the exit code is 0."""
    with run_server(tmp_path, {"DMSR_WEIGHTS_DERAIN": str(tiny_weights), "DMSR_WEIGHTS_DEHAZE": "off"}) as server:

        async def post_then_stop():
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                posted = asyncio.create_task(client.post("/derain", content=encoded(drawn(700, 700))))
                while (await client.get("/metrics")).text.find('dmsr_queue_tiles{task="derain"} 0.0') >= 0:  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.005)
                server.process.terminate()
                return await posted

        answer = asyncio.run(post_then_stop())
        assert answer.status_code == 200
        assert server.process.wait(30) == 0
        assert '"abandoned_requests": 0' in server.log


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_that_nobody_waits_for_does_not_hold_up_the_end(daemon):
    """Such as a warm-up on a slow machine, in which Ctrl-C would seem to do nothing for a minute."""
    program = (
        "import threading; from app import server; "
        f"threading.Thread(target=threading.Event().wait, daemon={daemon}).start(); "
        "server._leave_threads(3); print('left to the interpreter')"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, "left to" in ended.stdout) == ((0, True) if daemon else (3, False))

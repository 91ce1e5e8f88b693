"""The real server among clients who hang up at random, and a SIGTERM in the middle: nobody is left unanswered."""

import asyncio
import random
import signal

import httpx

from tests.e2e.server import run_server
from tests.pictures import drawn, encoded

CLIENTS = 40


def test_everybody_who_stays_is_answered(tiny_weights, tmp_path):
    rng = random.Random(1)
    pictures = [encoded(drawn(rng.randint(1, 300), rng.randint(1, 300), seed)) for seed in range(8)]
    settings = {
        "DMSR_WEIGHTS_DERAIN": str(tiny_weights),
        "DMSR_WEIGHTS_DEHAZE": "off",
        "DMSR_SERVER_DRAIN_SECONDS": "5",
        "DMSR_QUEUE_DEADLINE_SECONDS": "3600",  # on a busy machine admission would refuse some for a shorter one
    }

    async def storm(server):
        async with httpx.AsyncClient(
            base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=None)
        ) as many:
            posts = [asyncio.create_task(many.post("/derain", content=rng.choice(pictures))) for _ in range(CLIENTS)]
            first, _ = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
            leaving = rng.sample([post for post in posts if post not in first], CLIENTS // 3)
            for post in leaving:
                post.cancel()
            server.process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*(post for post in posts if post not in leaving), return_exceptions=True)

    with run_server(tmp_path, settings) as server:
        answers = asyncio.run(storm(server))
        assert server.process.wait(30) == 0
        log = server.log
    assert not [answer for answer in answers if isinstance(answer, BaseException)], answers
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert 200 in {answer.status_code for answer in answers}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(answer.json()["type"] == "/problems/draining" for answer in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert "Traceback" not in log
    assert '"level": "error"' not in log

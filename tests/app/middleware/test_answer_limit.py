"""Answers that wait to be read: sent in pieces, counted, and given up when there are too many."""

import asyncio

from app.middleware.answer_limit import ABORT, PIECE_BYTES, AnswerLimit
from app.settings import LimitsSettings
from app.telemetry.metrics import Metrics


class Caller:
    """Take so many pieces of an answer, then stand still until told to go on."""

    def __init__(self, limit, pieces):
        self.taken, self.aborted = [], False
        self.allowed = asyncio.Semaphore(pieces)
        self.task = asyncio.create_task(limit({"type": "http", "extensions": {ABORT: self.abort}}, None, self.send))

    async def send(self, message):
        if message["type"] == "http.response.body" and not self.aborted:
            await self.allowed.acquire()
            self.taken.append(message)

    def abort(self):
        """Do what the server does: from now on what is sent goes nowhere."""
        self.aborted = True
        self.allowed.release()

    @property
    def body(self):
        return b"".join(message["body"] for message in self.taken)


def limited(body, bytes_):
    metrics = Metrics()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    limit = AnswerLimit(app, LimitsSettings(answer_bytes=bytes_), metrics)
    return limit, lambda name: metrics.registry.get_sample_value(name)


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


def test_an_answer_comes_whole_and_in_pieces():
    async def run():
        body = bytes(range(256)) * 1000
        limit, value = limited(body, 10**6)
        caller = Caller(limit, 100)
        await caller.task
        assert caller.body == body
        assert max(len(message["body"]) for message in caller.taken) == PIECE_BYTES
        assert [message.get("more_body", False) for message in caller.taken] == [True, True, True, False]
        assert value("dmsr_answer_bytes") == 0

    asyncio.run(run())


def test_what_has_not_been_taken_counts():
    async def run():
        limit, value = limited(bytes(10 * PIECE_BYTES), 10**8)
        callers = [Caller(limit, pieces) for pieces in (0, 3)]
        await settle()
        assert value("dmsr_answer_bytes") == 17 * PIECE_BYTES
        for caller in callers:
            caller.task.cancel()
        await asyncio.gather(*(caller.task for caller in callers), return_exceptions=True)
        assert value("dmsr_answer_bytes") == 0

    asyncio.run(run())


def test_the_answer_that_stood_still_longest_is_given_up_first():
    async def run():
        limit, value = limited(bytes(4 * PIECE_BYTES), 8 * PIECE_BYTES)
        still, slow = Caller(limit, 0), Caller(limit, 0)
        await settle()
        still.allowed.release()
        await settle()
        slow.allowed.release()  # later than the other
        await settle()
        assert not still.aborted
        newest = [Caller(limit, 0), Caller(limit, 0)]
        await settle()
        assert (still.aborted, slow.aborted, [caller.aborted for caller in newest]) == (True, True, [False, False])
        assert value("dmsr_answer_bytes") == 8 * PIECE_BYTES == value("dmsr_answer_bytes_limit")
        assert value("dmsr_answers_given_up_total") == 2
        for caller in newest:
            for _ in range(4):
                caller.allowed.release()
            await caller.task
            assert len(caller.body) == 4 * PIECE_BYTES

    asyncio.run(run())


def test_one_answer_larger_than_the_limit_is_still_sent():
    async def run():
        limit, value = limited(bytes(4 * PIECE_BYTES), PIECE_BYTES)
        caller = Caller(limit, 10)
        await caller.task
        assert not caller.aborted
        assert value("dmsr_answers_given_up_total") == 0

    asyncio.run(run())


def test_a_thousand_readers_that_stand_still_hold_no_more_than_the_limit():
    async def run():
        limit, value = limited(bytes(4 * PIECE_BYTES), 40 * PIECE_BYTES)
        most = 0
        for _ in range(1000):
            Caller(limit, 0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            most = max(most, value("dmsr_answer_bytes"))
        assert most == 40 * PIECE_BYTES
        reader = Caller(limit, 10)
        await reader.task
        assert len(reader.body) == 4 * PIECE_BYTES
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(run())

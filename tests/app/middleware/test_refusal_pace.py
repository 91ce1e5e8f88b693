"""How long the answers to refused uploads wait."""

import asyncio

import pytest

from app.middleware.refusal_pace import FREE_SECONDS, LONGEST_SECONDS, REQUEST_SECONDS, RefusalPace

CORES = 0.1
FREE = round(FREE_SECONDS / REQUEST_SECONDS)


class Uploads:
    """Uploads one after the other, of a byte each, to a service that gives a status; time passes as it is told."""

    def __init__(self):
        self.now, self.status, self.waited, self.work_seconds = 1000.0, 422, [], 0.0
        self.pace = RefusalPace(self.answer, CORES, lambda: self.now, self.sleep)

    async def sleep(self, seconds):
        self.waited.append(seconds)

    async def answer(self, scope, receive, send):
        await receive()
        self.now += self.work_seconds
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def send(self, count=1, body=b"x"):
        """Send so many; return how long the last of them waited, and how many messages the caller got."""
        messages = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            messages.append(message["type"])

        for _ in range(count):
            messages.clear()
            asyncio.run(self.pace({"type": "http"}, receive, send))
        assert messages == ["http.response.start", "http.response.body"]
        return self.waited[-1] if self.waited else None


def test_a_few_bad_files_are_refused_at_once_and_many_in_a_loop_wait():
    uploads = Uploads()
    assert uploads.send(FREE) == 0
    assert uploads.send() == pytest.approx(0, abs=1e-4)
    assert uploads.send() == pytest.approx(REQUEST_SECONDS / CORES, rel=0.01)
    assert uploads.send(1000) == LONGEST_SECONDS


def test_who_sends_as_fast_as_the_answers_come_takes_no_more_than_the_cores():
    uploads = Uploads()
    uploads.send(FREE)
    begin = uploads.now
    for _ in range(200):
        uploads.now += uploads.send()
    assert 200 * REQUEST_SECONDS / (uploads.now - begin) == pytest.approx(CORES, rel=0.02)


def test_a_large_file_counts_for_more():
    uploads = Uploads()
    assert uploads.send(body=bytes(30_000_000)) == 0
    assert uploads.send() == LONGEST_SECONDS


@pytest.mark.parametrize(("work_seconds", "delay"), [(0.5, 1), (1.9, 0)])
def test_what_took_long_already_waits_only_until_its_deadline_is_near(work_seconds, delay):
    uploads = Uploads()
    uploads.send(1000, bytes(30_000_000))
    uploads.work_seconds = work_seconds
    uploads.pace._paid_until = uploads.now + 10 * LONGEST_SECONDS
    assert uploads.send() == pytest.approx(delay)


def test_an_attack_is_forgotten_when_it_is_over():
    uploads = Uploads()
    uploads.send(10_000)
    uploads.now += LONGEST_SECONDS + FREE_SECONDS / CORES
    assert uploads.send(FREE) == 0


@pytest.mark.parametrize("status", [200, 401, 404, 429, 500, 503, 504])
def test_nothing_else_waits(status):
    uploads = Uploads()
    uploads.send(1000)
    uploads.waited.clear()
    uploads.status = status
    assert uploads.send(100) is None


def test_a_request_without_a_body_does_not_wait():
    uploads = Uploads()
    uploads.send(1000)
    uploads.waited.clear()
    assert uploads.send(100, b"") is None

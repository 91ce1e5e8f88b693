"""How many pictures one caller may have in flight."""

import asyncio

import pytest

from app.errors import Overloaded
from app.middleware.caller_limit import CallerLimit, address_of


class Callers:
    """Callers of a service that works on each picture until it is told to end."""

    def __init__(self, most):
        self.limit = CallerLimit(self.work, most)
        self.ends = []

    async def work(self, scope, receive, send):
        end = asyncio.Event()
        self.ends.append(end)
        await end.wait()

    async def begin(self, address="192.0.2.1", caller=None, method="POST"):
        """Send a picture; return its task if it was taken, and the failure if not."""
        state = {"caller": caller} if caller else {}
        scope = {"type": "http", "method": method, "state": state, "client": (address, 1)}
        task = asyncio.create_task(self.limit(scope, None, None))
        await asyncio.sleep(0)
        return task.exception() if task.done() else task


def test_a_caller_has_so_many_pictures_in_flight_and_then_waits_for_one_of_them():
    async def run():
        callers = Callers(2)
        first, second, third = [await callers.begin() for _ in range(3)]
        assert isinstance(third, Overloaded)
        assert (third.refusal, third.retry_after_seconds, third.extra["limit"]) == ("caller", 2, 2)
        assert not isinstance(await callers.begin("192.0.2.2"), Overloaded)
        assert not isinstance(await callers.begin(method="GET"), Overloaded)
        callers.ends[0].set()
        await first
        assert not isinstance(await callers.begin(), Overloaded)
        second.cancel()  # as when its caller hangs up
        await asyncio.gather(second, return_exceptions=True)
        assert not isinstance(await callers.begin(), Overloaded)
        for end in callers.ends:
            end.set()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        assert not callers.limit._in_flight

    asyncio.run(run())


def test_a_key_is_a_caller_wherever_it_comes_from():
    async def run():
        callers = Callers(1)
        taken = [await callers.begin("192.0.2.1", "one"), await callers.begin("192.0.2.1", "other")]
        assert isinstance(await callers.begin("192.0.2.9", "one"), Overloaded)
        for end in callers.ends:
            end.set()
        await asyncio.gather(*taken)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("not an address", "not an address"),
        ("a" * 60_000, "a" * 64),
    ],
)
def test_a_household_has_one_address(host, address):
    assert address_of({"client": (host, 1)}) == address


def test_a_socket_without_an_address_is_one_caller():
    assert address_of({"client": None}) == address_of({}) == ""

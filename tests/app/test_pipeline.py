"""Work in threads, which nobody can stop: its caller is answered in time, and its place is kept until it ends."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from app.errors import DeadlineExceeded
from app.pipeline import Pipeline


def scenario(leave):
    """Run a function in a thread that does not end; leave it, and tell what became of its place."""
    end, seen = threading.Event(), []

    async def run():
        with ThreadPoolExecutor(1) as threads:
            pipeline = Pipeline(None, None, None, {}, None, threads, lambda: 0.0)

            async def work(deadline, function):
                with ExitStack() as place:
                    place.callback(seen.append, "place free")
                    return await pipeline._in_thread(place, deadline, function)

            assert await work(1000.0, lambda: 42) == 42
            assert seen == ["place free"]
            seen.clear()
            await leave(work, end.wait)
            seen.append("caller gone")
            end.set()
            while len(seen) < 2:  # noqa: ASYNC110 - a thread is to end
                await asyncio.sleep(0.001)

    asyncio.run(run())
    return seen


async def at_the_deadline(work, function):
    with pytest.raises(DeadlineExceeded):
        await work(0.01, function)


async def by_hanging_up(work, function):
    task = asyncio.create_task(work(1000.0, function))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("leave", [at_the_deadline, by_hanging_up])
def test_the_place_of_work_that_cannot_be_stopped_is_kept(leave):
    assert scenario(leave) == ["caller gone", "place free"]


def test_work_that_has_not_begun_is_taken_back():
    async def run():
        end = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(end.wait)
            pipeline, seen = Pipeline(None, None, None, {}, None, threads, lambda: 0.0), []
            with ExitStack() as place:
                place.callback(seen.append, "place free")
                with pytest.raises(DeadlineExceeded):
                    await pipeline._in_thread(place, 0.01, seen.append, "it ran")
            assert seen == ["place free"]
            end.set()

    asyncio.run(run())

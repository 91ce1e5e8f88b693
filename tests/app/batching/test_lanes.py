"""A device that works on several batches at once: a lane for each, around a fake device."""

import asyncio
import threading

import pytest

from app.errors import DeviceLost
from model.runner import DeviceFault
from tests.app.batching.fakes import Clock, FakeEngine, FakeRunner, job, run, values


def test_a_slow_tile_does_not_hold_up_the_other_lane():
    """Where the device works on two batches at once, one lane goes on while the other's tile takes its time."""

    async def scenario():
        slow = threading.Event()

        def work(tiles):
            if 99 in values(tiles):
                assert slow.wait(30)
            return tiles

        async with FakeEngine(FakeRunner(work, max_tiles=2, at_once=2)) as fake:
            held = asyncio.create_task(fake.engine.run(job(1, value=99)))
            await asyncio.sleep(0)
            await fake.engine.run(quick := job(5))
            assert (quick.stitch() == 7).all()
            assert not held.done()
            slow.set()
            await held

    run(scenario)


def test_every_lane_of_a_device_takes_tiles_while_there_are_any_and_none_ahead():
    async def scenario():
        runner = FakeRunner(max_tiles=3, at_once=3)
        runner.hold()
        async with FakeEngine(runner) as fake:
            mine = job(8)
            running = asyncio.create_task(fake.engine.run(mine))
            for taken in (3, 4, 5, 6, 7, 8):
                for _ in range(3 if taken == 3 else 1):
                    await runner.started()
                assert mine.tiles_taken == taken
                runner.let_go()
            runner.let_go(2)
            await running
            assert runner.batches == [1] * 8
            assert (mine.stitch() == 7).all()

    run(scenario)


def test_the_lanes_share_the_largest_batch():
    async def scenario():
        runner = FakeRunner(max_tiles=5, at_once=2)
        runner.hold()
        async with FakeEngine(runner) as fake:
            running = asyncio.create_task(fake.engine.run(job(9)))
            await runner.started()
            await runner.started()
            runner.let_go(100)
            await running
            assert runner.batches == [3, 3, 3]

    run(scenario)


def test_a_device_lost_in_one_lane_is_lost_in_all():
    async def scenario():
        go = threading.Event()

        def work(tiles):
            if 13 in values(tiles):
                raise DeviceFault("an illegal memory access was encountered")
            assert go.wait(30)
            return tiles

        async with FakeEngine(FakeRunner(work, max_tiles=2, at_once=2)) as fake:
            results = await asyncio.gather(
                *(fake.engine.run(job(3, value=value)) for value in (1, 13, 2)), return_exceptions=True
            )
            assert {type(result) for result in results} == {DeviceLost}
            go.set()

    run(scenario)


def test_the_rate_is_that_of_all_lanes_together():
    """Two tiles that take a second side by side make two a second, and cost their job a second of the device's time."""

    async def scenario():
        clock, runner = Clock(), FakeRunner(max_tiles=2, at_once=2)
        runner.hold()
        async with FakeEngine(runner, clock=clock) as fake:
            mine = job(2)
            running = asyncio.create_task(fake.engine.run(mine))
            await runner.started()
            await runner.started()
            clock.now += 1.0
            runner.let_go(2)
            await running
            assert fake.engine.tiles_per_second() == pytest.approx(2.0)
            assert mine.seconds["device"] == pytest.approx(1.0)

    run(scenario)


def test_a_tile_that_has_the_device_to_itself_is_not_taken_for_one_of_two():
    """Alone it may have all threads, and two would not be as fast."""

    async def scenario():
        clock = Clock()

        def work(tiles):
            clock.now += 0.5
            return tiles

        async with FakeEngine(FakeRunner(work, max_tiles=2, at_once=2), clock=clock) as fake:
            await fake.engine.run(job(1))
            assert fake.engine.tiles_per_second() == pytest.approx(2.0)

    run(scenario)


def test_the_warm_up_of_several_lanes_says_what_they_make_together():
    """Two tiles at once in 1.5 s: a lane's tile has 0.75 s of the device's time."""

    async def scenario():
        runner = FakeRunner(max_tiles=2, at_once=2)
        runner.warm_up = lambda: {2: 1.5}
        async with FakeEngine(runner) as fake:
            await fake.workers[0].warm_up()
            assert fake.engine.tiles_per_second() == pytest.approx(2 / 1.5)

    run(scenario)

"""A device that works on several batches at once: a lane for each, around a fake device."""

import asyncio
import os
import sys
import threading

import pytest

from app.batching.device_worker import NICENESS
from app.errors import DeviceLost
from model.inference.runner import DeviceFault
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


def held():
    """Return a device of two lanes and an express one, on which tiles of value 1 take until the event is set."""
    go = threading.Event()

    def work(tiles):
        if 1 in values(tiles):
            assert go.wait(30)
        return tiles

    return FakeRunner(work, max_tiles=2, at_once=2, has_express=True), go


def test_the_first_tile_of_a_job_overtakes_when_all_lanes_are_busy():
    """One job after the other, while the two tiles that were there first are not done; and no further tile of a job."""

    async def scenario():
        runner, go = held()
        async with FakeEngine(runner) as fake:
            huge = asyncio.create_task(fake.engine.run(mine := job(9, value=1)))
            await runner.started()
            await runner.started()
            two = asyncio.create_task(fake.engine.run(larger := job(2)))
            await runner.started()
            for _ in range(2):
                await fake.engine.run(small := job(1))
                assert (small.stitch() == 7).all()
            assert (mine.tiles_taken, larger.tiles_taken, larger.tiles_done) == (2, 1, 1)
            assert runner.express == [False, False, True, True, True]
            go.set()
            await asyncio.gather(huge, two)
            assert set(runner.express[5:]) == {False}

    run(scenario)


def test_who_comes_beside_two_jobs_overtakes_as_soon_as_one_of_them_has_all_lanes():
    async def scenario():
        first_goes, second_goes = threading.Event(), threading.Event()

        def work(tiles):
            if 1 in values(tiles):
                assert first_goes.wait(30)
            if 2 in values(tiles):
                assert second_goes.wait(30)
            return tiles

        runner = FakeRunner(work, max_tiles=2, at_once=2, has_express=True)
        async with FakeEngine(runner) as fake:
            jobs = job(1, value=1), job(5, value=2), job(1)
            running = []
            for each, starts in zip(jobs, (1, 1, 0), strict=True):
                running.append(asyncio.create_task(fake.engine.run(each)))
                for _ in range(starts):
                    await runner.started()
            await fake.idle_lanes(1)
            assert jobs[2].tiles_taken == 0
            first_goes.set()
            await running[2]
            assert jobs[1].tiles_taken == 2
            second_goes.set()
            await asyncio.gather(*running)
            assert runner.express.count(True) == 1

    run(scenario)


def test_while_a_lane_is_idle_nobody_takes_the_express_lane():
    async def scenario():
        runner, go = held()
        async with FakeEngine(runner) as fake:
            first = asyncio.create_task(fake.engine.run(job(1, value=1)))
            await runner.started()
            await fake.engine.run(job(3))
            assert runner.express == [False] * 4
            go.set()
            await first

    run(scenario)


def test_who_leaves_before_the_express_lane_is_free_takes_nothing():
    async def scenario():
        runner, go = held()
        async with FakeEngine(runner) as fake:
            running = []
            for started in (2, 1, 0):
                running.append(asyncio.create_task(fake.engine.run(job(max(started, 1), value=1))))
                for _ in range(started):
                    await runner.started()
            await asyncio.sleep(0)
            running[2].cancel()
            await asyncio.sleep(0)
            go.set()
            await asyncio.gather(*running[:2])
            assert runner.express == [False, False, True]
            assert fake.tiles("cancelled") == 1

    run(scenario)


def test_a_device_lost_in_the_express_lane_is_lost_in_all():
    async def scenario():
        go = threading.Event()

        def work(tiles):
            if 13 in values(tiles):
                raise DeviceFault("the processor is on fire")
            assert go.wait(30)
            return tiles

        runner = FakeRunner(work, max_tiles=2, at_once=2, has_express=True)
        async with FakeEngine(runner) as fake:
            huge = asyncio.create_task(fake.engine.run(job(3)))
            await runner.started()
            await runner.started()
            with pytest.raises(DeviceLost):
                await fake.engine.run(job(1, value=13))
            with pytest.raises(DeviceLost):
                await huge
            go.set()

    run(scenario)


def test_all_that_a_device_beside_the_processor_is_told_comes_from_one_thread():
    async def scenario():
        seen = set()

        def work(tiles):
            seen.add(threading.current_thread())
            return tiles

        runner = FakeRunner(work, max_tiles=1, overlaps_host=True)
        runner.warm_up = lambda: work({}) or {1: 1.0}
        async with FakeEngine(runner) as fake:
            await fake.workers[0].warm_up()
            await asyncio.gather(*(fake.engine.run(job(5)) for _ in range(3)))
            assert len(seen) == 1

    run(scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no niceness of their own")
@pytest.mark.parametrize("overlaps_host", [False, True])
def test_lanes_on_the_processor_give_way_to_the_express_lane_and_to_the_rest_of_the_process(overlaps_host):
    """Beside the processor the device is to be fed before anything else."""

    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def scenario():
        seen, go, mine = {}, threading.Event(), niceness()

        def work(tiles):
            seen[values(tiles)[0]] = niceness()
            if 1 in values(tiles):
                assert go.wait(30)
            return tiles

        runner = FakeRunner(work, 1, overlaps_host, has_express=not overlaps_host)
        async with FakeEngine(runner) as fake:
            huge = asyncio.create_task(fake.engine.run(job(2, value=1)))
            await runner.started()
            small = asyncio.create_task(fake.engine.run(job(1, value=2)))
            if not overlaps_host:
                await small
            go.set()
            await asyncio.gather(huge, small)
        assert seen == {1: mine if overlaps_host else min(mine + NICENESS, 19), 2: mine}
        assert niceness() == mine

    run(scenario)


def test_lanes_end_with_the_worker():
    async def scenario():
        async with FakeEngine(FakeRunner(max_tiles=2, at_once=2, has_express=True)) as fake:
            await fake.engine.run(job(3))
            lanes = [
                thread for thread in threading.enumerate() if thread.name.startswith(("lane-fake", "express-fake"))
            ]
            assert len(lanes) >= 3
        for thread in lanes:
            await asyncio.to_thread(thread.join, 30)
            assert not thread.is_alive()

    run(scenario)

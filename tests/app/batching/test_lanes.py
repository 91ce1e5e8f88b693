"""Lanes of a processor and of a device beside it: who takes what, and with how many threads; around a fake device.

One file, because all rules decide over the same threads, and a test of one tells what the others leave.
"""

import asyncio
import os
import random
import sys
import threading
import time

import pytest

from app.batching.device_worker import NICENESS
from app.errors import DeviceLost
from model.inference.contract import DeviceFault
from tests.app.batching.fakes import Clock, FakeEngine, FakeRunner, job, run, until, values


def test_a_slow_tile_does_not_hold_up_another_lane():
    """One lane of a processor goes on while the tiles of the others take their time."""

    async def scenario():
        slow = threading.Event()

        def work(tiles):
            if 99 in values(tiles):
                assert slow.wait(30)
            return tiles

        async with FakeEngine(runner := FakeRunner(work, max_tiles=3, threads=3)) as fake:
            held = asyncio.create_task(fake.engine.run(job(2, value=99)))
            await runner.started()
            await runner.started()
            await fake.engine.run(quick := job(5))
            assert (quick.stitch() == 7).all()
            assert not held.done()
            slow.set()
            await held

    run(scenario)


def test_every_lane_of_a_device_takes_tiles_while_there_are_any_and_none_ahead():
    async def scenario():
        runner = FakeRunner(max_tiles=3, threads=3)
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


@pytest.mark.parametrize(("tiles", "threads"), [(1, [4]), (2, [2, 2]), (3, [1, 1, 1]), (4, [1, 1, 1, 1])])
def test_each_tile_has_its_share_of_the_threads(tiles, threads):
    """A tile alone has all four, and a batch is never more than one tile."""

    async def scenario():
        runner = FakeRunner(max_tiles=8, threads=4)
        runner.hold()
        async with FakeEngine(runner) as fake:
            running = asyncio.create_task(fake.engine.run(job(tiles)))
            for _ in range(tiles):
                await runner.started()
            runner.let_go(100)
            await running
            assert runner.threads_of == threads
            assert runner.batches == [1] * tiles

    run(scenario)


def test_who_comes_while_a_tile_has_all_threads_waits_and_takes_its_share():
    """Otherwise two callers would go on to take all threads in turns. A tile that is alone again has them all again."""

    async def scenario():
        runner = FakeRunner(max_tiles=2, threads=2)
        runner.hold()
        async with FakeEngine(runner) as fake:
            running = [asyncio.create_task(fake.engine.run(job(1)))]
            await runner.started()
            running.append(asyncio.create_task(fake.engine.run(job(1))))
            await fake.idle_lanes(1)
            assert runner.threads_of == [2]
            for _ in range(3):  # two callers, each of which sends its next as soon as it has an answer
                runner.let_go()
                _, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running = [*left, asyncio.create_task(fake.engine.run(job(1)))]
                await runner.started()
            runner.let_go(100)
            await asyncio.gather(*running)
            await fake.rest()
            await fake.engine.run(job(1))
            assert runner.threads_of == [2, 1, 1, 1, 1, 2]

    run(scenario)


def test_tiles_never_have_more_threads_than_there_are_and_few_threads_lead_teams():
    """Whatever comes when. Of all threads the n-th may lead a team of threads / n, because it keeps what it has led."""
    dice, lock, running, most, teams = random.Random(5), threading.Lock(), [], [], {}

    class Counting(FakeRunner):
        def run(self, tiles, threads):
            with lock:
                running.append(threads)
                most.append(sum(running))
                thread = threading.get_ident()
                teams[thread] = max(teams.get(thread, 0), threads)
            time.sleep(0.0003)
            with lock:
                running.remove(threads)
            return super().run(tiles, threads)

    async def scenario():
        async with FakeEngine(Counting(max_tiles=6, threads=6)) as fake:
            for _ in range(60):
                clients = []
                for _ in range(dice.choice((1, 1, 2, 9))):
                    clients.append(asyncio.create_task(fake.engine.run(job(dice.choice((1, 1, 2, 3, 9))))))
                    await asyncio.sleep(dice.choice((0, 0.0003, 0.001)))
                await asyncio.gather(*clients)

    run(scenario)
    assert max(most) == 6
    assert max(teams.values()) > 1
    assert all(led <= 6 // (n + 1) for n, led in enumerate(sorted(teams.values(), reverse=True)))


def test_a_device_lost_in_one_lane_is_lost_in_all():
    async def scenario():
        go = threading.Event()

        def work(tiles):
            if 13 in values(tiles):
                raise DeviceFault("an illegal memory access was encountered")
            assert go.wait(30)
            return tiles

        async with FakeEngine(FakeRunner(work, max_tiles=2, threads=2)) as fake:
            results = await asyncio.gather(
                *(fake.engine.run(job(3, value=value)) for value in (1, 13, 2)), return_exceptions=True
            )
            assert {type(result) for result in results} == {DeviceLost}
            go.set()

    run(scenario)


def test_the_rate_is_that_of_all_lanes_together():
    """Two tiles that take a second side by side make two a second, and cost their job a second of the device's time."""

    async def scenario():
        clock, runner = Clock(), FakeRunner(max_tiles=2, threads=2)
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

        async with FakeEngine(FakeRunner(work, max_tiles=2, threads=2), clock=clock) as fake:
            await fake.engine.run(job(1))
            assert fake.engine.tiles_per_second() == pytest.approx(2.0)

    run(scenario)


def test_the_warm_up_of_several_lanes_says_what_they_make_together():
    """Two tiles at once in 1.5 s: a lane's tile has 0.75 s of the device's time."""

    async def scenario():
        runner = FakeRunner(max_tiles=2, threads=2)
        runner.warm_up = lambda: {1: 0.75}
        async with FakeEngine(runner) as fake:
            await fake.workers[0].warm_up()
            assert fake.engine.tiles_per_second() == pytest.approx(2 / 1.5)

    run(scenario)


def held(threads=2):
    """Return a processor with an express lane, on which tiles of value 1 take until the event is set."""
    go = threading.Event()

    def work(tiles):
        if 1 in values(tiles):
            assert go.wait(30)
        return tiles

    return FakeRunner(work, max_tiles=threads + 1, threads=threads), go


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
            assert runner.beside == [0, 1, 2, 2, 2]
            go.set()
            await asyncio.gather(huge, two)
            assert max(runner.beside[5:]) <= 1

    run(scenario)


def test_who_comes_beside_two_jobs_overtakes_as_soon_as_one_of_them_has_all_lanes():
    async def scenario():
        first_goes, second_goes = threading.Semaphore(0), threading.Event()

        def work(tiles):
            if 1 in values(tiles):
                assert first_goes.acquire(timeout=30)
            if 2 in values(tiles):
                assert second_goes.wait(30)
            return tiles

        runner = FakeRunner(work, max_tiles=3, threads=2)
        async with FakeEngine(runner) as fake:
            first, second, third = job(2, value=1), job(5, value=2), job(1)
            running = [asyncio.create_task(fake.engine.run(first))]
            await runner.started()
            await runner.started()
            running.append(asyncio.create_task(fake.engine.run(second)))
            await runner.started()  # in the express lane, for the first job has all others
            first_goes.release()
            await runner.started()
            running.append(asyncio.create_task(fake.engine.run(third)))
            await asyncio.sleep(0)
            assert (first.tiles_taken, second.tiles_taken, third.tiles_taken) == (2, 2, 0)
            first_goes.release()
            await running[0]
            await runner.started()
            assert (second.tiles_taken, third.tiles_taken) == (3, 0)
            second_goes.set()
            await asyncio.gather(*running)
            assert third.tiles_done == 1

    run(scenario)


def test_while_a_lane_is_idle_nobody_takes_the_express_lane():
    async def scenario():
        runner, go = held(threads=3)
        async with FakeEngine(runner) as fake:
            first = asyncio.create_task(fake.engine.run(job(2, value=1)))
            await runner.started()
            await runner.started()
            await fake.engine.run(job(3))
            assert runner.beside == [0, 1, 2, 2, 2]
            go.set()
            await first

    run(scenario)


def test_while_one_tile_has_all_threads_nobody_takes_the_express_lane():
    """It is over soon, and a thread more would slow all the others down."""

    async def scenario():
        runner, go = held()
        async with FakeEngine(runner) as fake:
            first = asyncio.create_task(fake.engine.run(job(1, value=1)))
            await runner.started()
            second = asyncio.create_task(fake.engine.run(job(1)))
            await fake.idle_lanes(2)
            assert runner.beside == [0]
            go.set()
            await asyncio.gather(first, second)

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
            assert runner.beside == [0, 1, 2]
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

        runner = FakeRunner(work, max_tiles=3, threads=2)
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


def test_a_second_under_two_batches_at_once_counts_once():
    """Both are with the device from the beginning; the second one's time starts when the first one's ends."""

    async def scenario():
        clock = Clock()
        runner = FakeRunner(max_tiles=1, overlaps_host=True)
        runner.hold()
        async with FakeEngine(runner, clock=clock) as fake:
            mine = job(2)
            running = asyncio.create_task(fake.engine.run(mine))
            await runner.started()
            await runner.started()
            clock.now = 3.0
            runner.let_go()
            await until(lambda: mine.tiles_left == 1)
            clock.now = 5.0
            runner.let_go()
            await running
        assert mine.seconds["device"] == 5.0
        assert fake.workers[0].tiles_per_second() == pytest.approx(1 / 2.5)

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

        runner = FakeRunner(work, 1 if overlaps_host else 2, overlaps_host, threads=0 if overlaps_host else 1)
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
        async with FakeEngine(FakeRunner(max_tiles=3, threads=2)) as fake:
            await fake.engine.run(job(3))
            lanes = [thread for thread in threading.enumerate() if thread.name.startswith("lane-fake")]
            assert len(lanes) >= 3
        for thread in lanes:
            await asyncio.to_thread(thread.join, 30)
            assert not thread.is_alive()

    run(scenario)

"""Queue, devices and futures together, around a fake device.

One file, because each test is one way in which a job can end, and all ways stand side by side.
"""

import asyncio
import time

import numpy as np
import pytest

from app.batching.job import TileJob
from app.errors import DeadlineExceeded, DeviceLost, Draining, RestorationFailed
from model.inference.contract import DeviceFault, TileResults
from model.inference.tiling import TilePlan
from tests.app.batching.fakes import TILE, Clock, FakeEngine, FakeRunner, job, run, until, values


def test_a_job_comes_back_whole():
    async def scenario():
        runner = FakeRunner(lambda tiles: tiles + 1)
        async with FakeEngine(runner) as fake:
            mine = job(10, value=41)
            await fake.engine.run(mine)
            assert (mine.stitch() == 42).all()
            assert fake.tiles("done") == 10
            assert runner.batches == [4, 4, 2]
            assert fake.engine.jobs == set()

    run(scenario)


def test_the_tiles_of_overviews_go_the_same_way():
    async def scenario():
        image = np.random.default_rng(0).integers(0, 256, (TILE * 3, TILE * 10, 3), np.uint8)
        mine = TileJob("dehaze", image, TilePlan(*image.shape[:2], TILE, 16, overview=True))
        async with FakeEngine(FakeRunner()) as fake:
            await fake.engine.run(mine)
            assert fake.tiles("done", "dehaze") == mine.tiles_total == 4 * 13 + 2 + 1
            assert np.array_equal(mine.stitch(), image)

    run(scenario)


def test_tiles_of_different_jobs_share_a_batch():
    async def scenario():
        runner = FakeRunner()
        runner.hold()
        async with FakeEngine(runner) as fake:
            first = asyncio.create_task(fake.engine.run(job(1)))
            await runner.started()  # the device is busy while three more arrive
            others = [asyncio.create_task(fake.engine.run(job(1))) for _ in range(3)]
            await asyncio.sleep(0)
            runner.let_go(2)
            await asyncio.gather(first, *others)
            assert runner.batches == [1, 3]

    run(scenario)


def test_the_device_does_not_wait_for_a_full_batch():
    async def scenario():
        runner = FakeRunner(max_tiles=64)
        async with FakeEngine(runner) as fake:
            await fake.engine.run(job(1))
            assert runner.batches == [1]

    run(scenario)


def test_two_devices_share_one_job():
    async def scenario():
        one, other = FakeRunner(max_tiles=2), FakeRunner(max_tiles=2)
        one.hold()
        other.hold()
        async with FakeEngine(one, other) as fake:
            mine = job(4)
            running = asyncio.create_task(fake.engine.run(mine))
            await one.started()
            await other.started()
            one.let_go()
            other.let_go()
            await running
            assert (one.batches, other.batches) == ([2], [2])
            assert (mine.stitch() == 7).all()

    run(scenario)


def test_a_device_beside_the_processor_finds_its_next_batch_ready():
    """While one batch runs on such a device the next one is handed over; on a CPU nothing is taken ahead of time."""

    async def scenario(ahead):
        runner = FakeRunner(max_tiles=2, overlaps_host=ahead)
        runner.hold()
        async with FakeEngine(runner) as fake:
            mine = job(8)
            running = asyncio.create_task(fake.engine.run(mine))
            await runner.started()
            await until(lambda: len(runner.batches) >= 2 or not ahead)
            assert mine.tiles_taken == (4 if ahead else 2)
            assert runner.batches == ([2, 2] if ahead else [2])
            runner.let_go(100)
            await running
            assert (mine.stitch() == 7).all()

    run(lambda: scenario(True))
    run(lambda: scenario(False))


def test_one_bad_tile_fails_its_own_request_only():
    """A batch that throws is run again tile by tile, and only the guilty tile's request hears of it."""

    def allergic(tiles):
        if 13 in values(tiles):
            raise ValueError("thirteen")
        return tiles

    async def scenario():
        runner = FakeRunner(allergic)
        runner.hold()
        async with FakeEngine(runner) as fake:
            first = asyncio.create_task(fake.engine.run(job(1)))
            await runner.started()
            good = job(2, value=5)
            results = [asyncio.create_task(fake.engine.run(each)) for each in (good, job(2, value=13))]
            await asyncio.sleep(0)
            runner.let_go(100)
            await first
            fine, failed = await asyncio.gather(*results, return_exceptions=True)
            assert fine is None
            assert (good.stitch() == 5).all()
            assert isinstance(failed, RestorationFailed)
            assert str(failed.__cause__) == "thirteen"
            assert len(fake.queue) == 0

    run(scenario)


def test_tiles_that_are_not_finite_fail_their_request_only():
    def poisoned(tiles):
        return TileResults(tiles, lost=[index for index, value in enumerate(values(tiles)) if value == 0])

    async def scenario():
        async with FakeEngine(FakeRunner(poisoned)) as fake:
            results = await asyncio.gather(
                *(fake.engine.run(job(3, value=value)) for value in (1, 0, 2)), return_exceptions=True
            )
            assert [type(result) for result in results] == [type(None), RestorationFailed, type(None)]

    run(scenario)


def test_a_tile_that_was_left_as_it_came_is_done_and_counted():
    """Also when its batch throws, and every tile is run again alone."""

    def wary(tiles):
        if 13 in values(tiles):
            raise ValueError("thirteen")
        return TileResults(tiles, kept=[index for index, value in enumerate(values(tiles)) if value == 7])

    async def scenario():
        runner = FakeRunner(wary)
        runner.hold()
        async with FakeEngine(runner) as fake:
            first = asyncio.create_task(fake.engine.run(job(1, value=5)))
            await runner.started()
            jobs = [job(1, value=value) for value in (13, 7, 5)]
            results = [asyncio.create_task(fake.engine.run(each)) for each in jobs]
            await asyncio.sleep(0)
            runner.let_go(100)
            await asyncio.gather(first, *results, return_exceptions=True)
            assert [each.tiles_kept for each in jobs] == [0, 1, 0]
            assert (jobs[1].stitch() == 7).all()
            assert (fake.tiles("kept"), fake.tiles("done"), fake.tiles("failed")) == (1, 2, 1)

    run(scenario)


def test_a_lost_device_settles_everybody_and_says_so():
    def lost(_):
        raise DeviceFault("an illegal memory access was encountered")

    async def scenario():
        async with FakeEngine(FakeRunner(lost)) as fake:
            results = await asyncio.gather(*(fake.engine.run(job(9)) for _ in range(5)), return_exceptions=True)
            assert {type(result) for result in results} == {DeviceLost}
            assert fake.engine.lost.is_set()
            with pytest.raises(DeviceLost):
                await fake.engine.run(job(1))

    run(scenario)


def test_who_leaves_takes_the_waiting_tiles_along():
    """A cancelled request's tiles are gone before the next batch forms."""

    async def scenario():
        runner = FakeRunner(max_tiles=2)
        runner.hold()
        async with FakeEngine(runner) as fake:
            leaving = asyncio.create_task(fake.engine.run(job(10)))
            await runner.started()
            leaving.cancel()
            await asyncio.wait([leaving])
            assert len(fake.queue) == 0
            assert fake.engine.jobs == set()
            staying = asyncio.create_task(fake.engine.run(job(1)))
            await asyncio.sleep(0)
            runner.let_go(2)
            await staying
            assert runner.batches == [2, 1]
            assert fake.tiles("cancelled") == 10

    run(scenario)


def test_a_hundred_who_leave_free_the_device_within_two_batches():
    async def scenario():
        runner = FakeRunner(max_tiles=4)
        runner.hold()
        async with FakeEngine(runner) as fake:
            clients = [asyncio.create_task(fake.engine.run(job(20))) for _ in range(100)]
            await runner.started()
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)
            runner.let_go(2)
            assert len(fake.queue) == 0
            await fake.engine.stop()
            assert len(runner.batches) <= 2

    run(scenario)


def test_tiles_past_their_deadline_never_reach_the_device():
    async def scenario():
        clock = Clock()
        runner = FakeRunner(max_tiles=1)
        runner.hold()
        async with FakeEngine(runner, clock=clock) as fake:
            first = asyncio.create_task(fake.engine.run(job(1)))
            await runner.started()
            late = asyncio.create_task(fake.engine.run(job(3, deadline=0.05)))
            await asyncio.sleep(0)
            clock.now = 50
            runner.let_go()
            await first
            with pytest.raises(DeadlineExceeded) as caught:
                await late
            assert caught.value.extra == {"queued_seconds": 50.0, "computed_seconds": 0.0}
            assert runner.batches == [1]
            assert fake.tiles("expired") == 3

    run(scenario)


def test_a_deadline_is_answered_while_the_device_is_busy():
    """The caller hears of it at the deadline, not when the batch ends."""

    async def scenario():
        runner = FakeRunner()
        runner.hold()
        async with FakeEngine(runner) as fake:
            with pytest.raises(DeadlineExceeded, match="0 of 9 tiles"):
                await fake.engine.run(job(9, deadline=0.01))
            runner.let_go(100)

    run(scenario)


def test_a_job_that_finishes_at_its_deadline_is_done():
    """The loop stands still until both have happened, so that it hears of result and deadline at the same moment."""

    async def scenario():
        runner = FakeRunner()
        runner.hold()
        async with FakeEngine(runner) as fake:
            mine = job(1, deadline=0.05)
            running = asyncio.create_task(fake.engine.run(mine))
            await runner.started()
            runner.let_go()
            while mine.tiles_done < 1:
                time.sleep(0.001)  # noqa: ASYNC251 - the loop is to stand still
            time.sleep(0.06)  # noqa: ASYNC251
            await running
            assert (mine.stitch() == 7).all()
            assert fake.tiles("expired") == fake.tiles("cancelled") == 0

    run(scenario)


def test_abandoned_jobs_are_told_that_the_service_stops():
    async def scenario():
        runner = FakeRunner(max_tiles=1)
        runner.hold()
        async with FakeEngine(runner) as fake:
            clients = [asyncio.create_task(fake.engine.run(job(5))) for _ in range(3)]
            await runner.started()
            assert fake.engine.abandon(Draining("The service stops.")) == 3
            results = await asyncio.gather(*clients, return_exceptions=True)
            assert {type(result) for result in results} == {Draining}
            runner.let_go(100)

    run(scenario)


def test_the_rate_is_learnt_from_the_batches():
    async def scenario():
        clock = Clock()

        def work(tiles):
            clock.now += 0.5 * len(tiles)
            return tiles

        async with FakeEngine(FakeRunner(work), clock=clock) as fake:
            assert fake.engine.tiles_per_second() == 0
            await fake.engine.run(job(9))
            assert fake.engine.tiles_per_second() == pytest.approx(2.0)

    run(scenario)


def test_a_task_that_nobody_asks_for_says_nothing_of_the_speed():
    """The start may have been slow, and of a task never refused for it nothing newer is known; likewise of long ago."""

    async def scenario():
        clock = Clock()
        seconds = {"derain": 1.0, "dehaze": 0.25}

        def ask(task):
            return fake.engine.run(TileJob(task, image, plan))

        def work(tiles):
            clock.now += seconds[asked]
            return tiles

        image = np.zeros((TILE, TILE, 3), np.uint8)
        plan = TilePlan(TILE, TILE, TILE, 16)
        async with FakeEngine(FakeRunner(work, max_tiles=1), clock=clock) as fake:
            for times in fake.workers[0].batch_times.values():
                times.observe(1, 100.0)
            assert fake.engine.tiles_per_second() == pytest.approx(0.01)
            for asked in ["derain"] * 64:
                await ask(asked)
            assert fake.engine.tiles_per_second() == pytest.approx(1.0)
            for asked in ["dehaze"] * 64:
                await ask(asked)
            assert fake.engine.tiles_per_second() == pytest.approx(1.0)
            clock.now += 400
            for asked in ["dehaze"]:
                await ask(asked)
            assert fake.engine.tiles_per_second() == pytest.approx(4.0)

    run(scenario)


def test_the_warm_up_says_how_fast_the_device_is():
    """1 tile in 1 s, 2 in 1.5 s: 0.5 s a batch and 0.5 s a tile, so four in 2.5 s, before anybody has come."""

    async def scenario():
        async with FakeEngine(FakeRunner(max_tiles=4)) as fake:
            await fake.workers[0].warm_up()
            assert fake.engine.tiles_per_second() == pytest.approx(4 / 2.5)

    run(scenario)


def test_what_a_job_cost_is_accounted_to_it():
    async def scenario():
        clock = Clock()

        def work(tiles):
            clock.now += 1.0
            return tiles

        async with FakeEngine(FakeRunner(work), clock=clock) as fake:
            mine = job(8)
            await fake.engine.run(mine)
            assert mine.seconds["device"] == pytest.approx(2.0)
            assert mine.seconds["cut"] > 0
            assert mine.seconds["stitch"] > 0

    run(scenario)


def test_results_are_the_same_alone_and_in_company():
    """Each tile is computed on its own: who shares its batch changes nothing here; real kernels may round otherwise."""
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, 256, np.uint8)

    async def scenario():
        async with FakeEngine(FakeRunner(lambda tiles: table[tiles])) as fake:
            alone = job(5, value=99)
            await fake.engine.run(alone)
            crowd = [job(5, value=value) for value in (99, 3, 200)]
            await asyncio.gather(*(fake.engine.run(each) for each in crowd))
            assert np.array_equal(alone.stitch(), crowd[0].stitch())

    run(scenario)

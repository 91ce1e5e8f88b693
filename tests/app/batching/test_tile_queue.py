"""The order of tiles: pure, so judged by properties."""

import asyncio
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batching.job import TileJob
from app.batching.tile_queue import TileQueue
from model.inference.tiling import TilePlan


@pytest.fixture(autouse=True)
def loop():
    """Jobs make futures, which want a loop; it never has to run."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    yield loop
    asyncio._set_running_loop(None)
    loop.close()


def job(tiles, task="derain", deadline=float("inf")):
    """Make a job of so many tiles in a row."""
    made = TileJob(task, np.zeros((1, 1, 3), np.uint8), TilePlan(64, 64 * tiles, 64, 0), deadline)
    assert made.tiles_total == tiles
    return made


def drain(queue, limit):
    batches = []
    while batch := queue.take({"derain": limit, "dehaze": limit}, now=0):
        batches.append(batch)
    return batches


jobs = st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["derain", "dehaze"])), max_size=8)


@settings(deadline=None)
@given(jobs, st.integers(1, 9))
def test_every_tile_comes_once_and_no_batch_mixes_tasks(sizes, limit):
    queue = TileQueue()
    queued = [job(tiles, task) for tiles, task in sizes]
    for each in queued:
        queue.put(each)
    batches = drain(queue, limit)
    seen = Counter((id(tile.job), tile.number) for batch in batches for tile in batch)
    assert set(seen.values()) <= {1}
    assert len(seen) == sum(tiles for tiles, _ in sizes)
    assert all(len({tile.job.task for tile in batch}) == 1 for batch in batches)
    assert len(queue) == 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 9))
def test_batches_are_full_while_tiles_wait(sizes, limit):
    """Work is conserved: only the last batch may be short."""
    queue = TileQueue()
    for tiles in sizes:
        queue.put(job(tiles))
    batches = drain(queue, limit)
    assert all(len(batch) == limit for batch in batches[:-1])


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_no_job_waits_for_more_than_its_turns(sizes):
    """A job of n tiles is through after n + Σ min(other, n) tiles, whatever the others hold."""
    queue = TileQueue()
    queued = [job(tiles) for tiles in sizes]
    for each in queued:
        queue.put(each)
    order = [tile.job for batch in drain(queue, 1) for tile in batch]
    for each in queued:
        n = each.tiles_total
        bound = n + sum(min(other.tiles_total, n) for other in queued if other is not each)
        last = max(index for index, taken in enumerate(order) if taken is each)
        assert last < bound


def test_a_small_job_overtakes_a_huge_one():
    queue = TileQueue()
    queue.put(job(1000))
    queue.take({"derain": 8}, now=0)
    small = job(1)
    queue.put(small)
    assert small in [tile.job for tile in queue.take({"derain": 8}, now=0)]


def test_first_tiles_are_taken_in_the_order_the_jobs_came_and_once():
    """Whatever their turn in the round is, and whatever their task; then there are none."""
    queue, both = TileQueue(), {"derain": 1, "dehaze": 1}
    huge, first, second, third = job(1000), job(2), job(1), job(1, "dehaze")
    queue.put(huge)
    queue.take(both, now=0)
    for each in (first, second, third):
        queue.put(each)
    assert queue.take({"dehaze": 1}, now=0, first=True) == [(third, 0)]
    assert [queue.take(both, now=0, first=True) for _ in range(3)] == [[(first, 0)], [(second, 0)], []]
    assert [queue.take(both, now=0)[0].job for _ in range(3)] == [huge, first, huge]


@settings(deadline=None)
@given(jobs, st.lists(st.booleans(), max_size=80))
def test_every_tile_comes_once_whichever_way_it_is_taken(sizes, first):
    queue, both = TileQueue(), {"derain": 2, "dehaze": 2}
    queued = [job(tiles, task) for tiles, task in sizes]
    for each in queued:
        queue.put(each)
    taken = [tile for is_first in first for tile in queue.take(both, now=0, first=is_first)]
    taken += [tile for batch in drain(queue, 3) for tile in batch]
    assert Counter((id(tile.job), tile.number) for tile in taken) == Counter(
        (id(each), index) for each in queued for index in range(each.tiles_total)
    )


def test_tasks_take_turns():
    queue = TileQueue()
    queue.put(job(6, "derain"))
    queue.put(job(6, "dehaze"))
    tasks = [batch[0].job.task for batch in drain(queue, 2)]
    assert tasks == ["derain", "dehaze"] * 3


def test_a_task_without_room_is_left_waiting():
    queue = TileQueue()
    queue.put(job(1, "dehaze"))
    assert queue.take({"derain": 4}, now=0) == []
    assert len(queue) == 1


def test_discarding_drops_what_waits_and_nothing_else():
    queue = TileQueue()
    gone, stays = job(5), job(3)
    queue.put(gone)
    queue.put(stays)
    queue.take({"derain": 2}, now=0)
    assert queue.discard(gone) == 4
    assert queue.discard(gone) == 0
    assert {id(tile.job) for batch in drain(queue, 4) for tile in batch} == {id(stays)}


def test_a_job_past_its_deadline_has_no_more_tiles_taken():
    """Neither in its turn nor first; it stays until whoever queued it takes it out."""
    queue, both = TileQueue(), {"derain": 1, "dehaze": 1}
    timely, late, fine = job(1, deadline=10), job(2, deadline=10), job(2, deadline=11)
    for each in (timely, late, fine):
        queue.put(each)
    assert queue.take(both, now=9) == [(timely, 0)]
    assert queue.take(both, now=10, first=True) == [(fine, 0)]
    assert queue.take(both, now=10) == [(fine, 1)]
    assert queue.take(both, now=10) == []
    assert len(queue) == queue.discard(late) == 2
    assert len(queue) == 0


@settings(deadline=None)
@given(jobs)
def test_turns_are_those_of_jobs_whatever_their_task(sizes):
    """A job of one task waits no longer beside another task's jobs than beside its own."""
    queue = TileQueue()
    queued = [job(tiles, task) for tiles, task in sizes]
    for each in queued:
        queue.put(each)
    order = [tile.job for batch in drain(queue, 1) for tile in batch]
    for turn in range(max((each.tiles_total for each in queued), default=0)):
        begun = sum(min(each.tiles_total, turn) for each in queued)
        left = [each for each in queued if each.tiles_total > turn]
        assert order[begun : begun + len(left)] == left

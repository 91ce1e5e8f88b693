"""Ten thousand random operations against the real queue, worker, engine, admission and runner; nothing may be lost.

Only the network is a fake: it restores, runs out of memory, throws, returns NaN, or takes its device with it.
"""

import asyncio
import random

import numpy as np
import pytest
import torch
from torch import nn

from app.batching.admission import Admission
from app.batching.job import TileJob
from app.errors import DmsrError
from app.settings import QueueSettings
from model.checkpoints.checkpoint import CheckpointInfo
from model.inference.runner import TileRunner
from model.inference.tiling import TilePlan
from model.network.config import DMSRConfig
from tests.app.batching.fakes import Clock, FakeEngine

TILE = 64
CAPACITY = 60


class Weather(nn.Module):
    """A network that adds one grey step, most of the time; a deadly one takes its device with it at its tenth batch."""

    def __init__(self, rng, deadly):
        super().__init__()
        self.rng = rng
        self.deadly = deadly
        self.batches = 0

    def forward(self, x):
        self.batches += 1
        luck = self.rng.random()
        if luck < 0.03 and len(x) > 1:
            raise torch.OutOfMemoryError("out of memory")
        if luck < 0.06:
            raise ValueError("a batch that fails as a whole")
        if luck < 0.09:
            x = x.clone()
            x[self.rng.randrange(len(x))] = float("nan")
        if self.deadly and self.batches == 10:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return x + 1 / 255, None, None


class WholeRunner(TileRunner):
    """A runner that takes batches whole, as a device does that is not this processor."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.threads = 0


class BesideRunner(WholeRunner):
    """A runner that has two batches under way, as on a GPU."""

    overlaps_host = True


class ManyRunner(TileRunner):
    """A runner of tiles side by side, as on a CPU of several threads."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.threads = 3


def runner(rng, deadly, kind):
    info = CheckpointInfo(DMSRConfig(4, 1), "derain", tile=TILE)
    return kind(Weather(rng, deadly), info, device="cpu", precision="fp32", max_tiles=8)


async def client(fake, admission, rng, ends):
    """Send one picture through the door and the engine, as the pipeline does, and note how that ended."""
    tiles = rng.randint(1, 12)
    plan = TilePlan(TILE, TILE * tiles, TILE, 0)
    value = rng.randrange(200)
    deadline = fake.clock.now + rng.choice([0.05, 0.5, 1000])
    try:
        image = np.full((TILE, plan.width, 3), value, np.uint8)
        job = TileJob(rng.choice(["derain", "dehaze"]), image, plan, deadline)
        with admission.admit(lambda: job.tiles_left, plan.width * TILE, deadline, tiles):
            await fake.engine.run(job)
            assert (job.stitch() == value + 1).all(), "a tile was lost or belongs to somebody else"
        ends.append("ok")
    except DmsrError as error:
        ends.append(error.slug)
    except asyncio.CancelledError:
        ends.append("cancelled")
        raise


async def storm(seed, operations, deadly):
    rng = random.Random(seed)
    clock = Clock()
    ends: list[str] = []
    started: list[asyncio.Task] = []
    runners = [runner(rng, deadly, kind) for kind in (WholeRunner, BesideRunner, ManyRunner)]
    async with FakeEngine(*runners, clock=clock) as fake:
        admission = Admission(QueueSettings(tiles=CAPACITY), fake.engine.tiles_per_second, clock, jitter=rng.random)
        for _ in range(operations):
            act = rng.random()
            if act < 0.45:
                started.append(asyncio.create_task(client(fake, admission, rng, ends)))
            elif act < 0.55 and started:
                rng.choice(started).cancel()
            elif act < 0.65:
                clock.now += rng.random() * 0.04
            elif act < 0.85:
                await asyncio.sleep(0)
            elif running := {task for task in started if not task.done()}:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            assert admission.tiles <= CAPACITY
        async with asyncio.timeout(60):
            await asyncio.gather(*started, return_exceptions=True)
        assert len(fake.queue) == 0
        assert fake.engine.jobs == set()
        assert (admission.tiles, admission.pixels, admission.requests) == (0, 0, 0)
        assert admission.idle.is_set()
    # A task cancelled before its first step never ran; every other one came to exactly one end.
    never_ran = sum(task.cancelled() for task in started) - ends.count("cancelled")
    assert len(ends) + never_ran == len(started)
    failures = [task.exception() for task in started if not task.cancelled() and task.exception()]
    assert not failures, failures
    return ends


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_in_a_storm(seed):
    """2,500 operations each: every request ends once, with its own pixels or a reason, and gauges return to zero."""
    ends = asyncio.run(storm(seed, 2500, deadly=False))
    assert {"ok", "restoration-failed", "cancelled"} <= set(ends)


@pytest.mark.parametrize("seed", range(4))
def test_a_dying_device_leaves_nobody_waiting(seed):
    ends = asyncio.run(storm(100 + seed, 1500, deadly=True))
    assert "device-lost" in ends

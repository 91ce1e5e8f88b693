"""Which tile is next: round robin over jobs, tile by tile.

Pure ordering: no clock, no waiting, no I/O, and nothing of devices. All tiles of a task cost the same, so one tile from
each job in turn is fair without counters: beside m others, a job waits for at most m tiles a round.
"""

import threading
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from app.batching.job import TileJob


class Tile(NamedTuple):
    """One tile of one job."""

    job: TileJob
    number: int  # in its job's plan


class TileQueue:
    """Order the tiles of all jobs that wait. Jobs of different tasks need different networks: no batch mixes them.

    lock: whoever calls a method holds it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._jobs: deque[TileJob] = deque()
        self._tiles = 0

    def __len__(self) -> int:
        """Count the waiting tiles."""
        return self._tiles

    def put(self, job: TileJob) -> None:
        """Let a job's tiles wait."""
        self._jobs.append(job)
        self._tiles += job.tiles_waiting

    def discard(self, job: TileJob) -> int:
        """Drop a job's waiting tiles, if any, and return how many."""
        if job not in self._jobs:
            return 0
        self._jobs.remove(job)
        self._tiles -= job.tiles_waiting
        return job.tiles_waiting

    def late(self, now: float) -> list[TileJob]:
        """List the jobs whose deadline has passed. They stay until they are discarded, but no tile is taken."""
        return [job for job in self._jobs if job.deadline <= now]

    def take(self, limits: Mapping[str, int], now: float) -> list[Tile]:
        """Take the next batch: tiles of one task, at most limits[task] of them, one job after the other.

        Tasks missing from limits are left waiting. Returns [] only if nothing can be taken: work never waits for more
        work.
        """
        turns = deque(job for job in self._jobs if job.deadline > now and job.task in limits)
        turns = deque(job for job in turns if job.task == turns[0].task)
        batch: list[Tile] = []
        while turns and len(batch) < limits[turns[0].task]:
            batch.append(self._take_from(turns.popleft()))
            if batch[-1].job.tiles_waiting:
                turns.append(batch[-1].job)
        return batch

    def take_first(self, limits: Mapping[str, int], now: float) -> list[Tile]:
        """Take the first tile of the oldest job that has not begun, of a task in limits; [] if all have begun."""
        fresh = (job for job in self._jobs if job.deadline > now and job.task in limits and not job.tiles_taken)
        return [self._take_from(job) for job in islice(fresh, 1)]

    def _take_from(self, job: TileJob) -> Tile:
        """Take a job's next tile and let every other job go before its next but one."""
        self._jobs.remove(job)
        self._tiles -= 1
        tile = Tile(job, job.take())
        if job.tiles_waiting:
            self._jobs.append(job)
        return tile

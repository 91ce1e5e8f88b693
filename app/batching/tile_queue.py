"""Which tile is next: round robin over jobs, tile by tile.

Pure ordering: no clock, no waiting, no I/O, and nothing of devices. All tiles of a task cost the same, so one tile from
each job in turn is fair without counters: beside m others, a job waits for at most m tiles a round.
"""

import threading
from collections import deque
from collections.abc import Mapping
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
        self._tiles = 0  # of all jobs; every lane asks before each batch

    def __len__(self) -> int:
        """Count the waiting tiles."""
        return self._tiles

    def put(self, job: TileJob) -> None:
        """Let all tiles of a new job wait."""
        self._jobs.append(job)
        self._tiles += job.tiles_total

    def discard(self, job: TileJob) -> int:
        """Drop a job's waiting tiles, if any, and return how many."""
        if job not in self._jobs:
            return 0
        self._jobs.remove(job)
        waiting = job.tiles_total - job.tiles_taken
        self._tiles -= waiting
        return waiting

    def take(self, limits: Mapping[str, int], now: float, first: bool = False) -> list[Tile]:
        """Take the next batch: tiles of one task, at most limits[task] of them, one job after the other.

        Tasks missing from limits are left waiting, and so are jobs whose deadline has passed.
        first: take only from jobs that have not begun, the oldest first.
        Returns [] only if nothing can be taken: work never waits for more work.
        """
        jobs = [job for job in self._jobs if job.deadline > now and job.task in limits]
        if first:
            jobs = [job for job in jobs if not job.tiles_taken]
        turns = deque(job for job in jobs if job.task == jobs[0].task)
        batch: list[Tile] = []
        while turns and len(batch) < limits[turns[0].task]:
            job = turns.popleft()
            self._jobs.remove(job)
            self._tiles -= 1
            batch.append(Tile(job, job.tiles_taken))
            job.tiles_taken += 1
            if job.tiles_taken < job.tiles_total:
                self._jobs.append(job)
                turns.append(job)
        return batch

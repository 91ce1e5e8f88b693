"""Whose tile is next: round robin over jobs, tile by tile, in one lane for each task.

Pure ordering: no clock, no waiting, no lock, no I/O, and nothing of devices. All tiles of a task cost the same, so
taking one tile from each job in turn is fair without counters: a job of k tiles beside m others waits for at most m
tiles a round.
"""

from collections import deque
from typing import NamedTuple

from app.batching.job import TileJob


class Tile(NamedTuple):
    """One tile of one job."""

    job: TileJob
    index: int


class TileQueue:
    """Order the tiles of all jobs that wait.

    Jobs of different tasks need different networks, so a batch never mixes lanes; lanes with work take turns, batch by
    batch.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, deque[TileJob]] = {}

    def __len__(self) -> int:
        """Count the waiting tiles of all lanes."""
        return sum(job.tiles_waiting for job in self.jobs())

    def jobs(self) -> list[TileJob]:
        """List the jobs with tiles waiting."""
        return [job for lane in self._lanes.values() for job in lane]

    def put(self, job: TileJob) -> None:
        """Let a job's tiles wait."""
        self._lanes.setdefault(job.task, deque()).append(job)

    def discard(self, job: TileJob) -> int:
        """Drop a job's waiting tiles, if any, and return how many."""
        lane = self._lanes.get(job.task, deque())
        if job not in lane:
            return 0
        lane.remove(job)
        self._forget_if_empty(job.task)
        return job.tiles_waiting

    def expire(self, now: float) -> list[TileJob]:
        """Drop and return the jobs whose deadline has passed."""
        expired = [job for job in self.jobs() if job.deadline <= now]
        for job in expired:
            self.discard(job)
        return expired

    def take(self, limits: dict[str, int]) -> list[Tile]:
        """Take the next batch: tiles of one task, at most limits[task] of them, one job after the other.

        Tasks missing from limits are left waiting. Returns [] only if nothing can be taken: work never waits for more
        work.
        """
        task = next((task for task in self._lanes if limits.get(task)), None)
        if task is None:
            return []
        lane = self._lanes.pop(task)
        batch: list[Tile] = []
        while lane and len(batch) < limits[task]:
            job = lane.popleft()
            batch.append(Tile(job, job.take()))
            if job.tiles_waiting:
                lane.append(job)
        if lane:
            self._lanes[task] = lane  # at the end: the other lanes come first next time
        return batch

    def take_first(self, limits: dict[str, int]) -> list[Tile]:
        """Take the first tile of the job that has waited longest for it, of a task in limits; [] if all have begun."""
        job = next((job for job in self.jobs() if not job.tiles_taken and limits.get(job.task)), None)
        if job is None:
            return []
        first = Tile(job, job.take())
        if not job.tiles_waiting:
            self.discard(job)
        return [first]

    def _forget_if_empty(self, task: str) -> None:
        if not self._lanes[task]:
            del self._lanes[task]

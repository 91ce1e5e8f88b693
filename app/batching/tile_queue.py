"""Whose tile is next: round robin over jobs, tile by tile, in one lane for each task.

Pure ordering: no clock, no waiting, no I/O, and nothing of devices. All tiles of a task cost the same, so taking one
tile from each job in turn is fair without counters: a job of k tiles beside m others waits for at most m tiles a round.
Who comes in while a job's tile is run goes before that job's next one: a small picture beside a huge one would
otherwise wait for two of its tiles, the one under way and the next.
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
        self._served: TileJob | None = None  # the last, if it has tiles left

    def __len__(self) -> int:
        """Count the waiting tiles of all lanes."""
        return sum(job.tiles_waiting for job in self.jobs())

    def jobs(self) -> list[TileJob]:
        """List the jobs with tiles waiting."""
        return [job for lane in self._lanes.values() for job in lane]

    def put(self, job: TileJob) -> None:
        """Let a job's tiles wait."""
        lane = self._lanes.setdefault(job.task, deque())
        if lane and lane[-1] is self._served:
            lane.insert(-1, job)
        else:
            lane.append(job)

    def discard(self, job: TileJob) -> int:
        """Drop a job's waiting tiles, if any, and return how many."""
        lane = self._lanes.get(job.task, deque())
        if job not in lane:
            return 0
        lane.remove(job)
        if job is self._served:
            self._served = None
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
            self._served = job if job.tiles_waiting else None
        if lane:
            self._lanes[task] = lane  # at the end: the other lanes come first next time
        return batch

    def _forget_if_empty(self, task: str) -> None:
        if not self._lanes[task]:
            del self._lanes[task]

"""The road of a picture:

bytes → probe → admit → decode → survey → queue → cut → device → stitch → merge → encode → bytes

Each word is one station, one function or file of that name, and one label of `dmsr_stage_duration_seconds`.
Knows nothing of HTTP, and of the network only the tiles its weights ask for.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, ParamSpec, TypeVar

import numpy as np

from app.batching.admission import Admission
from app.batching.engine import BatchingEngine
from app.batching.job import TileJob
from app.codecs.pool import Codecs
from app.errors import DeadlineExceeded, TaskUnavailable
from app.imaging.encode import choose_format, encode
from app.imaging.picture import ImageLimits, Picture
from model.inference.contract import kept_warning
from model.inference.scales import Plan, Scale, Work, least_tiles, most_tiles, restoration
from model.inference.tiling import Pixels, TilePlan

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class RestoreOptions:
    """Say what is to be done with a picture.

    seconds: time allowed from now on. formats: those that will do, best first; the first that can hold the picture is
    taken. output "residual" asks for what was removed instead of the restored picture. scale, strength: as for
    `model.inference.scales.restoration`.
    """

    task: str
    seconds: float
    formats: tuple[str, ...] = ("png",)
    quality: int | None = None
    metadata: Literal["keep", "strip"] = "keep"
    output: Literal["restored", "residual"] = "restored"
    damaged: Literal["refuse", "accept"] = "refuse"
    scale: Scale = "auto"
    strength: float = 1.0


@dataclass
class RestoreTrace:
    """Follow one picture along the road: what is known of it, and the seconds spent at each station so far."""

    width: int = 0
    height: int = 0
    job: TileJob | None = None
    tiles: int = 0
    tiles_before: int = 0
    tiles_kept: int = 0
    scales: tuple[float, ...] | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def tiles_done(self) -> int:
        """Count the tiles that are done, those of earlier passes among them."""
        return self.tiles_before + (self.job.tiles_done if self.job else 0)

    @property
    def tiles_left(self) -> int:
        """Count the tiles that may still have to be done."""
        return self.tiles - self.tiles_done

    def begin(self, job: TileJob, later: int) -> None:
        """Go on with the next job, which at most `later` tiles may follow."""
        self.tiles_before = self.tiles_done
        self.job = job
        self.tiles = self.tiles_before + job.tiles_total + later

    def end(self) -> None:
        """Let go of the last job, and of the picture in it; the answer may wait long to be read."""
        self.tiles_before, self.job = self.tiles_done, None

    @contextmanager
    def at(self, station: str) -> Iterator[None]:
        """Time the block as one station."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[station] = self.seconds.get(station, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Restored:
    """Hold the answer: the encoded picture, and by how much it differs from the input, in 8-bit steps."""

    data: bytes
    format: str
    mean_change: float
    max_change: int
    warnings: tuple[str, ...] = ()


class Pipeline:
    """Lead pictures along the road.

    tiles: a TilePlan's (tile, overlap, overview) for each task there are weights for.
    codecs: the processes that decode. threads: those that survey, merge and encode.
    clock: monotonic seconds, the one that deadlines are on.
    """

    def __init__(
        self,
        limits: ImageLimits,
        admission: Admission,
        engine: BatchingEngine,
        tiles: Mapping[str, tuple[int, int, bool]],
        codecs: Codecs,
        threads: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._admission = admission
        self._engine = engine
        self._tiles = tiles
        self._codecs = codecs
        self._threads = threads
        self._clock = clock

    async def restore(self, body: bytes, options: RestoreOptions, trace: RestoreTrace) -> Restored:
        """Restore one encoded picture; raises a DmsrError that says why not. Cancelled, it takes its tiles along."""
        if options.task not in self._tiles:
            raise TaskUnavailable(f"This service runs without weights for {options.task}.")
        deadline = self._clock() + options.seconds
        with ExitStack() as place:
            place.callback(trace.end)
            async with self._codecs.hold(body) as upload:
                del body  # as large as two thirds of the picture if it was a PNG
                with trace.at("probe"):
                    header = await self._codecs.probe(upload, self._limits, deadline)
                    choose_format(header, options.formats)
                    trace.width, trace.height = header.width, header.height
                    size, asked = (header.height, header.width), (options.task, options.scale)
                    most, least = (
                        count(*size, self._plan(options.task), *asked) for count in (most_tiles, least_tiles)
                    )
                    trace.tiles = most
                with trace.at("admit"):
                    place.enter_context(self._admission.admit(lambda: trace.tiles_left, header.pixels, deadline, least))
                with trace.at("decode"):
                    picture = await self._codecs.decode(upload, header, options.damaged, deadline)
                    format = choose_format(picture, options.formats)
            passes = Passes(picture, format, self._plan(options.task), options, trace)
            del picture
            work = await self._in_thread(place, deadline, passes.begin)
            while isinstance(work, Work):
                job = TileJob(options.task, work.image, work.plan, deadline)
                self._admission.check(job.tiles_total, deadline)
                trace.begin(job, work.later)
                await self._run(job, trace)
                work = await self._in_thread(place, deadline, passes.go_on, job)
            return work

    async def _run(self, job: TileJob, trace: RestoreTrace) -> None:
        """Have a job done; cut, device and the adding of tiles happen on the way."""
        start = time.perf_counter()
        try:
            await self._engine.run(job)
        finally:
            waited = time.perf_counter() - start - sum(job.seconds.values())
            for station, seconds in {"queue": max(waited, 0.0), **job.seconds}.items():
                trace.seconds[station] = trace.seconds.get(station, 0.0) + seconds

    def _plan(self, task: str) -> Plan:
        laid = self._tiles[task]
        return lambda height, width: TilePlan(height, width, *laid)

    async def _in_thread(
        self, place: ExitStack, deadline: float, function: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """Await a function in a thread; nobody can stop it, so its place is kept until it ends if its caller will not.

        Raise DeadlineExceeded at the deadline.
        """
        loop = asyncio.get_running_loop()
        work = self._threads.submit(function, *arguments, **named)
        running = asyncio.wrap_future(work)
        try:
            await asyncio.wait([running], timeout=deadline - self._clock())
        finally:
            if not running.done() and not work.cancel():
                kept = place.pop_all()

                def give_back(_: Future[T]) -> None:
                    with suppress(RuntimeError):  # the loop has ended before the thread
                        loop.call_soon_threadsafe(kept.close)

                work.add_done_callback(give_back)
                running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        if not running.done():
            raise DeadlineExceeded("The time allowed ran out before the answer was written.")
        return running.result()


class Passes:
    """Lead one picture from its pixels through all its passes to the answer; its methods run in codec threads.

    What lies between two jobs is done in one go: waking a thread takes longer than stitching a small picture.
    """

    def __init__(self, picture: Picture, format: str, plan: Plan, options: RestoreOptions, trace: RestoreTrace) -> None:
        self._picture, self._format, self._options, self._trace = picture, format, options, trace
        self._course = restoration(picture.rgb, plan, options.task, options.scale, options.strength, trace.at)

    def begin(self) -> "Work | Restored":
        """Survey the picture; return what is to be done first."""
        return self._advance(None)

    def go_on(self, job: TileJob) -> "Work | Restored":
        """Take a finished job's image; return what is to be done next, or the answer."""
        with self._trace.at("stitch"):
            image = job.stitch()
        self._trace.tiles_kept += job.tiles_kept
        return self._advance(image)

    def _advance(self, image: Pixels | None) -> "Work | Restored":
        try:
            return next(self._course) if image is None else self._course.send(image)
        except StopIteration as end:
            restored, self._trace.scales = end.value.image, end.value.scales
        picture, options, trace = self._picture, self._options, self._trace
        trace.tiles = trace.tiles_done
        with trace.at("encode"):
            data = encode(picture, restored, self._format, options.quality, options.metadata, options.output)
        warnings = picture.warnings + kept_warning(trace.tiles_kept, trace.tiles)
        return Restored(data, self._format, *change(picture.rgb, restored), warnings)


def change(before: np.ndarray, after: np.ndarray) -> tuple[float, int]:
    """Return the mean and the largest absolute difference of two uint8 (H, W, 3) arrays, in 8-bit steps."""
    total, largest = 0, 0
    # Row by row of a megapixel or so, to need no second picture's worth of memory.
    rows = max(1, 2**20 // max(before.shape[1], 1))
    for top in range(0, before.shape[0], rows):
        band, other = before[top : top + rows], after[top : top + rows]
        difference = np.maximum(band, other) - np.minimum(band, other)
        total += int(difference.sum(dtype=np.int64))
        largest = max(largest, int(difference.max()))
    return round(total / before.size, 3), largest

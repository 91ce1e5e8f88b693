"""The road of a picture:

bytes → probe → admit → decode → cut → queue → device → stitch → encode → bytes

Each word is one station, one function or file of that name, and one label of `dmsr_stage_duration_seconds`.
Knows nothing of HTTP, and of the network only the tiles its weights ask for.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, ParamSpec, TypeVar

import numpy as np

from app.batching.admission import Admission
from app.batching.engine import TileEngine
from app.batching.job import TileJob
from app.errors import TaskUnavailable
from app.imaging.decode import decode
from app.imaging.encode import choose_format, encode
from app.imaging.picture import ImageLimits, Picture
from app.imaging.probe import probe
from model.inference.tiling import TilePlan

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class RestoreOptions:
    """Say what is to be done with a picture.

    seconds: time allowed from now on. formats: those that will do, best first; the first that can hold the picture is
    taken. output "residual" asks for what was removed instead of the restored picture.
    """

    task: str
    seconds: float
    formats: tuple[str, ...] = ("png",)
    quality: int | None = None
    metadata: Literal["keep", "strip"] = "keep"
    output: Literal["restored", "residual"] = "restored"
    damaged: Literal["refuse", "accept"] = "refuse"


@dataclass
class RestoreTrace:
    """Follow one picture along the road: what is known of it, and the seconds spent at each station so far."""

    width: int = 0
    height: int = 0
    job: TileJob | None = None
    tiles: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

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
    codecs: the threads that decode and encode.
    clock: monotonic seconds, the one that deadlines are on.
    """

    def __init__(
        self,
        limits: ImageLimits,
        admission: Admission,
        engine: TileEngine,
        tiles: Mapping[str, tuple[int, int, bool]],
        codecs: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._admission = admission
        self._engine = engine
        self._tiles = tiles
        self._codecs = codecs
        self._clock = clock

    async def restore(self, body: bytes, options: RestoreOptions, trace: RestoreTrace) -> Restored:
        """Restore one encoded picture; raises a DmsrError that says why not. Cancelled, it takes its tiles along."""
        if options.task not in self._tiles:
            raise TaskUnavailable(f"This service runs without weights for {options.task}.")
        deadline = self._clock() + options.seconds
        with trace.at("probe"):
            header = probe(body, self._limits)
            choose_format(header, options.formats)
            trace.width, trace.height = header.width, header.height
            plan = TilePlan(header.height, header.width, *self._tiles[options.task])
            trace.tiles = len(plan)
        with ExitStack() as place:
            with trace.at("admit"):
                ticket = place.enter_context(self._admission.admit(len(plan), header.pixels, deadline))
            with trace.at("decode"):
                picture = await self._in_codec_thread(decode, body, header, options.damaged)
                format = choose_format(picture, options.formats)
            del body  # as large as two thirds of the picture if it was a PNG
            job = trace.job = TileJob(options.task, picture.rgb, plan, deadline)
            ticket.follow(job)
            try:
                with trace.at("queue"):
                    await self._engine.run(job)  # cut, device and the adding of tiles happen on the way
            finally:
                trace.seconds |= job.seconds
                trace.seconds["queue"] = max(trace.seconds["queue"] - sum(job.seconds.values()), 0.0)
            return await self._in_codec_thread(finish, picture, job, options, format, trace)

    async def _in_codec_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._codecs, partial(function, *arguments, **named))


def finish(picture: Picture, job: TileJob, options: RestoreOptions, format: str, trace: RestoreTrace) -> Restored:
    """Make the answer out of a finished job, in one go: waking a thread takes longer than stitching a small picture."""
    with trace.at("stitch"):
        restored = job.stitch()
    with trace.at("encode"):
        data = encode(picture, restored, format, options.quality, options.metadata, options.output)
    return Restored(data, format, *change(picture.rgb, restored), picture.warnings)


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

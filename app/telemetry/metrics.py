"""Every metric of the service: names, labels and buckets exist here only, on a registry of their own.

Knows nothing of the parts it counts for. What is counted is pushed by them; what is a state (how full, how ready) is
asked for at each scrape, through functions that `app.main` sets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log2

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.errors import DmsrError, Overloaded, Unavailable
from model.inference.contract import Runner

CONTENT_TYPE = CONTENT_TYPE_LATEST

STAGES = ("probe", "admit", "decode", "survey", "queue", "cut", "device", "stitch", "merge", "encode")
SCALES = ("1", "1/2", "1/4", "1/8", "1/16", "none")
CODEC_STATES = ("busy", "idle")
CODEC_DEATHS = ("work", "deadline", "stuck", "cancelled", "drained", "crashed")
TILE_RESULTS = ("done", "kept", "cancelled", "expired", "failed")

# From one tile on a GPU (milliseconds) to fifty megapixels on a small CPU (many minutes).
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
# A picture's size in tiles, the unit of its work: up to 512², 1080p, 16 megapixels of photo, and beyond.
SIZES = (("small", 16), ("medium", 160), ("large", 1024), ("huge", float("inf")))
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Hold the metrics of one service; two services in one process do not share any.

    tasks: those whose series exist from the start, at zero. Prometheus cannot see the first step of a counter that
    appears with it.
    """

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        disable_created_metrics()  # a second series for each counter that tells no more than the process's start
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "dmsr_requests", "Restoration requests by task and outcome.", ["task", "outcome"], registry=registry
        )
        self.request_duration = Histogram(
            "dmsr_request_duration_seconds",
            "From the complete body to the first byte of the answer.",
            ["task", "size"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_duration = Histogram(
            "dmsr_stage_duration_seconds",
            "Time a request spent at one station of the pipeline.",
            ["task", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.refusals = Counter(
            "dmsr_refusals", "Requests turned away before any work, by reason.", ["task", "reason"], registry=registry
        )
        self.tiles = Counter(
            "dmsr_tiles", "Tiles by task and what became of them.", ["task", "result"], registry=registry
        )
        self.batch_tiles = Histogram(
            "dmsr_batch_tiles", "Tiles in one batch.", ["task"], buckets=_BATCHES, registry=registry
        )
        self.scales = Counter(
            "dmsr_scales",
            "Passes by their scale; none: a picture without rain had no pass.",
            ["task", "scale"],
            registry=registry,
        )
        self.batch_duration = Histogram(
            "dmsr_batch_duration_seconds",
            "Time one batch took on its device.",
            ["task"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_tiles = Gauge(
            "dmsr_queue_tiles", "Tiles queued or on a device, not yet done.", ["task"], registry=registry
        )
        self.queue_jobs = Gauge(
            "dmsr_queue_jobs", "Pictures queued or on a device, not yet done.", ["task"], registry=registry
        )
        self.admitted_tiles = Gauge(
            "dmsr_admitted_tiles", "Tiles of all admitted requests, not yet done.", registry=registry
        )
        self.admitted_tiles_limit = Gauge(
            "dmsr_admitted_tiles_limit", "Tiles that may be admitted at once.", registry=registry
        )
        self.decoded_bytes = Gauge(
            "dmsr_decoded_bytes", "Bytes of the pictures of all admitted requests.", registry=registry
        )
        self.decoded_bytes_limit = Gauge(
            "dmsr_decoded_bytes_limit", "Bytes of pictures admitted at once.", registry=registry
        )
        self.answer_bytes = Gauge(
            "dmsr_answer_bytes", "Bytes of answers that their callers have not read.", registry=registry
        )
        self.answer_bytes_limit = Gauge(
            "dmsr_answer_bytes_limit", "Bytes of answers that may wait to be read.", registry=registry
        )
        self.answers_given_up = Counter(
            "dmsr_answers_given_up",
            "Answers cut off, as too many waited to be read and theirs stood still longest.",
            registry=registry,
        )
        self.predicted_delay = Gauge(
            "dmsr_predicted_delay_seconds", "Time in which all admitted tiles will be done.", registry=registry
        )
        self.deadline = Gauge(
            "dmsr_deadline_seconds", "Time a request is given unless it asks for another.", registry=registry
        )
        self.capacity = Gauge(
            "dmsr_capacity_tiles_per_second", "What all devices manage; 0 while unknown.", registry=registry
        )
        self.codec_processes = Gauge(
            "dmsr_codec_processes", "Processes that decode, by what they do just now.", ["state"], registry=registry
        )
        self.codec_deaths = Counter(
            "dmsr_codec_deaths",
            "Codec processes that ended, by reason; each is replaced, and at most one picture failed with it.",
            ["reason"],
            registry=registry,
        )
        self.ready = Gauge("dmsr_ready", "1 while the service takes work.", registry=registry)
        self.draining = Gauge("dmsr_draining", "1 from SIGTERM to the end.", registry=registry)

        self._expect(tasks)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def _expect(self, tasks: Iterable[str]) -> None:
        for state in CODEC_STATES:
            self.codec_processes.labels(state)
        for reason in CODEC_DEATHS:
            self.codec_deaths.labels(reason)
        for task in tasks:
            for outcome in outcomes():
                self.requests.labels(task, outcome)
            for stage in STAGES:
                self.stage_duration.labels(task, stage)
            for reason in refusal_reasons():
                self.refusals.labels(task, reason)
            for scale in SCALES:
                self.scales.labels(task, scale)
            for result in TILE_RESULTS:
                self.tiles.labels(task, result)
            for size in ("unknown", *dict(SIZES)):
                self.request_duration.labels(task, size)
            for metric in (self.batch_tiles, self.batch_duration, self.queue_tiles, self.queue_jobs):
                metric.labels(task)

    def watch_runners(self, runners: Sequence[Runner]) -> None:
        """Read the state of the runners at each scrape."""
        self.registry.register(_Runners(runners))

    def request_ended(
        self, task: str, outcome: str, seconds: float, stages: Mapping[str, float], refusal: str | None, tiles: int = 0
    ) -> None:
        """Count one request, answered or not.

        seconds: from its complete body to the first byte of its answer. stages: the part of each station.
        refusal: why it was turned away at the door, if it was. tiles: those of its picture, 0 if unknown.
        """
        self.requests.labels(task, outcome).inc()
        self.request_duration.labels(task, size_of(tiles)).observe(seconds)
        for stage, spent in stages.items():
            self.stage_duration.labels(task, stage).observe(spent)
        if refusal:
            self.refusals.labels(task, refusal).inc()

    def picture_restored(self, task: str, scales: Iterable[float]) -> None:
        """Count the scales a picture was restored at, each as the nearest of SCALES."""
        for name in [nearest_scale(scale) for scale in scales] or ["none"]:
            self.scales.labels(task, name).inc()

    def render(self) -> bytes:
        """Return the text Prometheus scrapes."""
        return generate_latest(self.registry)


class _Runners(Collector):
    """Turn the state of every runner into metrics."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = runners

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "dmsr_model_info",
            "1 for each network loaded; the labels say which.",
            labels=["task", "weights", "sha256", "precision", "device"],
        )
        limit = GaugeMetricFamily(
            "dmsr_batch_tiles_limit",
            "Largest batch; falls when memory runs out.",
            labels=["task", "device"],
        )
        splits = CounterMetricFamily(
            "dmsr_memory_splits", "Batches halved because device memory ran out.", labels=["task", "device"]
        )
        unusable = CounterMetricFamily(
            "dmsr_unusable_tiles",
            "Tiles whose result was not finite or noise, and which were run again in float32.",
            labels=["task", "device"],
        )
        demotions = CounterMetricFamily(
            "dmsr_precision_demotions",
            "Steps down to a slower precision, because the weights came out too coarse in a faster one.",
            labels=["task", "device"],
        )
        allocated = GaugeMetricFamily(
            "dmsr_device_memory_allocated_bytes", "Device memory in tensors; 0 on the CPU.", labels=["device"]
        )
        reserved = GaugeMetricFamily(
            "dmsr_device_memory_reserved_bytes", "Device memory held by PyTorch; 0 on the CPU.", labels=["device"]
        )
        for runner in self._runners:
            where = [runner.task, str(runner.device)]
            info.add_metric([runner.task, runner.weights, runner.sha256, runner.precision, str(runner.device)], 1)
            limit.add_metric(where, runner.batch_tiles)
            splits.add_metric(where, runner.memory_splits)
            unusable.add_metric(where, runner.fp32_retries)
            demotions.add_metric(where, runner.precision_demotions)
        # The networks of one device share its memory.
        for device, runner in {str(runner.device): runner for runner in self._runners}.items():
            in_tensors, held = runner.memory_bytes
            allocated.add_metric([device], in_tensors)
            reserved.add_metric([device], held)
        return iter((info, limit, splits, unusable, demotions, allocated, reserved))


def size_of(tiles: int) -> str:
    """Name the size of a picture of so many tiles: the first of SIZES that holds it, "unknown" for 0."""
    return next(name for name, most in SIZES if tiles <= most) if tiles else "unknown"


def nearest_scale(scale: float) -> str:
    """Name the nearest power of two, by its ratio."""
    return SCALES[round(-log2(scale))]


def outcomes() -> tuple[str, ...]:
    """List what may become of a request: "ok", "cancelled" by its caller, or the category of its failure."""
    return ("ok", "cancelled", *sorted({kind.category for kind in _family(DmsrError)}))


def refusal_reasons() -> tuple[str, ...]:
    """List why a request may be turned away at the door."""
    return (*Overloaded.reasons, *sorted(kind.slug for kind in _family(Unavailable) if kind is not Unavailable))


def _family(kind: type[DmsrError]) -> Iterator[type[DmsrError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)

"""Every metric of the service: names, labels and buckets exist here only, on a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

# From one tile on a GPU (milliseconds) to fifty megapixels on a small CPU (many minutes).
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Hold the metrics of one service; two services in one process do not share any."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dmsr_requests", "Restoration requests by task and outcome.", ["task", "outcome"], registry=self.registry
        )
        self.request_duration = Histogram(
            "dmsr_request_duration_seconds",
            "From the complete body to the answer.",
            ["task"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stage_duration = Histogram(
            "dmsr_stage_duration_seconds",
            "Time a request spent at one station of the pipeline.",
            ["task", "stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tiles = Counter(
            "dmsr_tiles", "Tiles by task and what became of them.", ["task", "result"], registry=self.registry
        )
        self.batch_tiles = Histogram(
            "dmsr_batch_tiles", "Tiles in one batch.", ["task"], buckets=_BATCHES, registry=self.registry
        )
        self.batch_duration = Histogram(
            "dmsr_batch_duration_seconds",
            "Time one batch took on the device.",
            ["task"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_tiles = Gauge("dmsr_queue_tiles", "Tiles admitted and not yet done.", registry=self.registry)
        self.ready = Gauge("dmsr_ready", "1 while the service takes work.", registry=self.registry)

    def render(self) -> bytes:
        """Return the text Prometheus scrapes."""
        return generate_latest(self.registry)

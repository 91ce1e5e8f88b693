"""What /metrics says, and that docs/metrics.md says the same."""

import re
import statistics
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from app.errors import BodyTooLarge, DeviceLost, Overloaded, Warming
from app.telemetry.metrics import STAGES, Metrics, outcomes, refusal_reasons, size_of
from tests.pictures import drawn, encoded

DOCS = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()


def runner(device="cuda:0", task="derain", **changes):
    state = {
        "task": task,
        "device": device,
        "weights": "derain-w16d4",
        "sha256": "ab12",
        "precision": "bf16",
        "max_tiles": 32,
        "batch_tiles": 32,
        "memory_splits": 0,
        "fp32_retries": 0,
        "memory_bytes": (1000, 2000),
    }
    return SimpleNamespace(**state | changes)


@pytest.fixture
def metrics():
    metrics = Metrics(["derain", "dehaze"])
    metrics.watch_runners([runner(), runner(task="dehaze", memory_splits=2, fp32_retries=3)])
    return metrics


def names(metrics):
    """List the metrics as Prometheus sees them, those of the process and of Python as groups."""
    for family in metrics.registry.collect():
        group = re.match(r"process_|python_", family.name)
        yield f"{group[0]}*" if group else family.name + ("_total" if family.type == "counter" else "")


def test_the_docs_list_every_metric_and_no_other(metrics):
    listed = re.findall(r"^\| `([\w*]+)`", DOCS, re.MULTILINE)
    assert sorted(listed) == sorted(set(names(metrics)))


@pytest.mark.parametrize("word", [*STAGES, *outcomes(), *refusal_reasons()])
def test_the_docs_name_every_label_value(word):
    assert f"`{word}`" in DOCS


def test_the_docs_name_every_label(metrics):
    rows = dict(re.findall(r"^\| `([\w*]+)` \| ([^|]*)", DOCS, re.MULTILINE))
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if name in rows:
            assert set(re.findall(r"`(\w+)`", rows[name])) == labels, name
            assert rows[name].startswith(family.type), name


def test_every_series_is_there_before_its_first_event(metrics):
    value = metrics.registry.get_sample_value
    assert value("dmsr_requests_total", {"task": "dehaze", "outcome": "internal"}) == 0
    assert value("dmsr_refusals_total", {"task": "derain", "reason": "buffers-full"}) == 0
    assert value("dmsr_tiles_total", {"task": "derain", "result": "expired"}) == 0
    assert value("dmsr_stage_duration_seconds_count", {"task": "derain", "stage": "stitch"}) == 0


def test_a_request_counts_once_with_its_stages(metrics):
    metrics.request_ended("derain", "ok", 1.5, {"probe": 0.1, "device": 1.2}, None, tiles=17)
    value = metrics.registry.get_sample_value
    assert value("dmsr_requests_total", {"task": "derain", "outcome": "ok"}) == 1
    assert value("dmsr_request_duration_seconds_sum", {"task": "derain", "size": "medium"}) == 1.5
    assert value("dmsr_request_duration_seconds_count", {"task": "derain", "size": "small"}) == 0
    assert value("dmsr_stage_duration_seconds_sum", {"task": "derain", "stage": "device"}) == 1.2
    assert value("dmsr_stage_duration_seconds_count", {"task": "derain", "stage": "encode"}) == 0


@pytest.mark.parametrize(
    ("tiles", "size"),
    [(0, "unknown"), (1, "small"), (16, "small"), (17, "medium"), (160, "medium"), (161, "large"), (1025, "huge")],
)
def test_a_picture_s_size_is_told_by_its_tiles(tiles, size):
    assert size_of(tiles) == size


def test_refusals_name_the_limit_that_stood_in_the_way(metrics):
    full = Overloaded("The queue is full.", retry_after_seconds=3, reason="pixels")
    metrics.request_ended("derain", full.category, 0.0, {}, full.refusal)
    assert metrics.registry.get_sample_value("dmsr_refusals_total", {"task": "derain", "reason": "pixels"}) == 1


def test_only_what_is_turned_away_at_the_door_is_a_refusal():
    assert Warming("").refusal == "warming"
    assert DeviceLost("").refusal == "device-lost"
    assert BodyTooLarge("").refusal is None


def test_networks_of_one_device_share_its_memory(metrics):
    value = metrics.registry.get_sample_value
    assert value("dmsr_device_memory_allocated_bytes", {"device": "cuda:0"}) == 1000
    assert value("dmsr_device_memory_reserved_bytes", {"device": "cuda:0"}) == 2000
    assert value("dmsr_memory_splits_total", {"task": "dehaze", "device": "cuda:0"}) == 2
    assert value("dmsr_unusable_tiles_total", {"task": "dehaze", "device": "cuda:0"}) == 3


def test_two_services_share_nothing(metrics):
    metrics.request_ended("derain", "ok", 1.0, {}, None)
    other = Metrics(["derain"])
    assert other.registry.get_sample_value("dmsr_requests_total", {"task": "derain", "outcome": "ok"}) == 0


def test_the_process_and_python_are_watched_too(metrics):
    text = metrics.render().decode()
    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text
    assert "_created" not in text


def test_a_scrape_under_load_is_prompt_and_sees_the_load(server, client):
    """Scrapes share the event loop with the requests, but no thread with decoding or the device."""

    def post():
        httpx.post(f"{server.url}/derain", content=encoded(drawn(250, 250)), timeout=60)

    posting = threading.Thread(target=post)
    posting.start()
    seconds, jobs = [], []
    while posting.is_alive():
        answer = client.get("/metrics")
        seconds.append(answer.elapsed.total_seconds())
        jobs.append(float(re.search(r'dmsr_queue_jobs{task="derain"} (\S+)', answer.text)[1]))
    assert max(jobs) == 1
    assert statistics.median(seconds) < 0.5


def test_the_largest_batch_is_not_all_that_the_device_takes_at_a_time():
    metrics = Metrics()
    metrics.watch_runners([runner(device="cpu", max_tiles=7, batch_tiles=1)])
    labels = {"task": "derain", "device": "cpu"}
    assert metrics.registry.get_sample_value("dmsr_batch_tiles_limit", labels) == 1


@pytest.mark.parametrize(
    ("scales", "counted"),
    [((1.0,), ["1"]), ((0.6, 0.09), ["1/2", "1/8"]), ((0.0625,), ["1/16"]), ((), ["none"])],
)
def test_scales_are_counted_to_the_nearest_octave(scales, counted):
    metrics = Metrics(["derain"])
    metrics.picture_restored("derain", scales)
    found = {
        sample.labels["scale"]: sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "dmsr_scales_total"
    }
    assert sorted(name for name, value in found.items() if value) == sorted(counted)
    assert len(found) == 6

"""Open-loop load leaves nothing out."""

import asyncio
import statistics
from itertools import pairwise

import httpx
import pytest

from benchmarks.arrivals import UNANSWERED, by_status, closed_loop, open_loop, poisson
from benchmarks.scrape import Series, total, totals
from benchmarks.timing import interleaved, percentiles


def test_poisson_instants_come_at_their_rate():
    """Over 10,000 of them the mean gap is within 3% (three standard errors), and gaps vary as much as they are long."""
    instants = poisson(rate=50, count=10_000)
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert statistics.mean(gaps) == pytest.approx(1 / 50, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert len(instants) == 10_000
    assert instants[0] > 0
    assert instants == sorted(instants)


def test_a_schedule_repeats_by_its_seed():
    assert poisson(5, 10, seed=1) == poisson(5, 10, seed=1) != poisson(5, 10, seed=2)


def test_latency_counts_from_the_instant_not_from_the_sending():
    """A request due ten seconds ago is ten seconds late already, which a stopwatch around the call would omit."""

    async def at_once(number):
        return 200

    [answer] = asyncio.run(open_loop(at_once, [-10.0], patience=20))
    assert answer.seconds >= 10


def test_open_loop_waits_for_nobody():
    """The third request is sent while the first two hang."""
    sent = []

    async def run():
        release = asyncio.Event()

        async def post(number):
            sent.append(number)
            if number == 2:
                release.set()
            await release.wait()
            return 200

        return await open_loop(post, [0, 0, 0], patience=60)

    answers = asyncio.run(run())
    assert sent == [0, 1, 2]
    assert by_status(answers) == {"200": 3}


def test_what_is_not_answered_is_given_up_and_counted():
    async def never(number):
        await asyncio.Event().wait()

    answers = asyncio.run(open_loop(never, [0, 0.01], patience=0.05))
    assert [answer.status for answer in answers] == [UNANSWERED] * 2
    assert answers[0].seconds >= 0.05


def test_closed_loop_keeps_so_many_under_way_and_no_more():
    under_way, most = 0, 0

    async def post(number):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return 200

    _, answers = asyncio.run(closed_loop(post, count=20, clients=4, patience=60))
    assert sorted(answer.number for answer in answers) == list(range(20))
    assert most == 4


def test_percentiles_are_values_that_occurred():
    assert percentiles([0.1 * number for number in range(1, 201)]) == {
        "p50_seconds": 10.1,
        "p95_seconds": 19.1,
        "p99_seconds": 19.9,
    }


def test_few_values_have_no_tail():
    """A 95th percentile of 199 arrivals would rest on nine."""
    assert percentiles([2.0] * 199) == {"p50_seconds": 2.0}


def test_contenders_take_turns():
    turns = []
    interleaved({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=2)
    assert turns == ["a", "b"] * 3


def test_a_contender_that_times_itself_is_believed():
    """What it spends beside its own work does not count."""
    assert interleaved({"own": lambda: 7.5, "ours": lambda: None}, rounds=3)["own"] == 7.5


SCRAPED = """\
# TYPE dmsr_stage_duration_seconds histogram
dmsr_stage_duration_seconds_bucket{le="+Inf",stage="device",task="derain"} 3
dmsr_stage_duration_seconds_sum{stage="device",task="derain"} 1.5
dmsr_stage_duration_seconds_sum{task="dehaze",stage="device"} 0.25
dmsr_stage_duration_seconds_sum{stage="decode",task="derain"} 9
# TYPE dmsr_tiles_total counter
dmsr_tiles_total{task="derain, \\"quoted\\""} 7
dmsr_tiles_total_of_another_kind 100
"""


def test_series_are_added_up_by_name_and_labels_in_any_order():
    async def scraped():
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text=SCRAPED))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            wanted = [Series("dmsr_stage_duration_seconds_sum", (("stage", "device"),)), Series("dmsr_tiles_total")]
            return await totals(client, *wanted, Series("dmsr_nothing")), await total(client, "dmsr_tiles_total")

    assert asyncio.run(scraped()) == ([1.75, 7, 0], 7)

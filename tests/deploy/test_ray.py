"""The Serve application on a real cluster of two nodes: the same pixels, the same contract, and nothing lost."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from model.inference.scales import most_tiles
from model.inference.tiling import TilePlan
from tests.pictures import decoded, drawn, encoded

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

PICTURE = encoded(drawn(300, 300))  # 49 tiles at full size, seconds of work for two busy cores
ROOM = 8
"""Pictures that the queue holds, at the most tiles that each can need."""
QUEUE_TILES = ROOM * most_tiles(300, 300, lambda height, width: TilePlan(height, width, 64, 16), "derain")
CALLERS = 6


@pytest.fixture(scope="module")
def service(tiny_weights, fragile_weights):
    from tests.deploy.cluster import run_cluster

    settings = {
        "DMSR_WEIGHTS_DERAIN": str(tiny_weights),
        "DMSR_WEIGHTS_DEHAZE": str(fragile_weights),
        "DMSR_RUNNER_MAX_TILES": "4",
        "DMSR_LIMITS_PIXELS": "400000",
        "DMSR_LIMITS_SIDE": "1000",
        "DMSR_QUEUE_TILES": str(QUEUE_TILES),
    }
    with run_cluster(nodes=2) as running:
        running.deploy(settings, restorers=2)
        yield running


def post(service, picture=PICTURE, path="/derain", **options):
    return httpx.post(service.url + path, content=picture, timeout=300, **options)


@contextmanager
def under_load(service, pictures=4 * CALLERS):
    """Post pictures from several callers while the block runs; gives the answers, which are all there after it."""
    answers = []
    with ThreadPoolExecutor(CALLERS) as callers:
        posting = [callers.submit(post, service) for _ in range(pictures)]
        posting[0].result()
        yield answers
        answers += [future.result() for future in posting]


def assert_nothing_lost(answers, plain):
    """Every request was answered: with its picture, or with the time to come back."""
    expected = decoded(plain.content).astype(int)
    for answer in answers:
        if answer.status_code == 200:
            assert np.abs(decoded(answer.content) - expected).max() <= 1
        else:
            assert answer.status_code in (429, 503), answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize(
    "picture",
    [
        PICTURE,
        encoded(drawn(40, 50)),
        encoded(drawn(203, 150), "jpeg"),
        encoded(drawn(90, 500)[..., 0]),
        encoded(np.dstack([drawn(70, 90), drawn(70, 90, 1)[..., 0]])),
    ],
    ids=["large", "smaller than a tile", "jpeg", "grey", "alpha"],
)
def test_the_pixels_are_the_plain_service_s(service, server, picture):
    """±1, as between batches of different sizes."""
    here, there = post(service, picture), httpx.post(f"{server.url}/derain", content=picture, timeout=60)
    assert (here.status_code, there.status_code) == (200, 200)
    assert here.headers["x-dmsr-weights"] == there.headers["x-dmsr-weights"]
    one, other = decoded(here.content), decoded(there.content)
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).max() <= 1


def test_one_picture_s_tiles_spread_over_the_nodes(service):
    from tests.deploy.cluster import cpu_seconds

    def spent():
        return {pid: cpu_seconds(pid) for pid in service.pids("Restorer")}

    before = spent()
    assert post(service, encoded(drawn(600, 600))).status_code == 200
    shares = [after - before[pid] for pid, after in spent().items()]
    assert len(shares) == 2
    assert min(shares) > 0.3 * sum(shares)


def test_the_document_is_the_plain_service_s(service, server):
    assert httpx.get(f"{service.url}/openapi.json").json() == httpx.get(f"{server.url}/openapi.json").json()


def test_failures_are_the_same_problems(service, server):
    for path, body in (("/derain", b"no picture"), ("/derain?quality=0", PICTURE), ("/nowhere", b"")):
        here, there = post(service, body, path), httpx.post(server.url + path, content=body)
        assert here.headers["content-type"] == there.headers["content-type"]
        assert {**here.json(), "request_id": ""} == {**there.json(), "request_id": ""}


def test_an_answer_has_the_caller_s_request_id_once(service):
    answer = post(service, encoded(drawn(64, 64)), headers={"X-Request-ID": "mine"})
    assert answer.headers.get_list("x-request-id") == ["mine"]


def test_a_tile_that_is_not_finite_fails_its_own_request(service):
    answer = post(service, encoded(np.full((64, 64, 3), 255, np.uint8)), "/dehaze")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/restoration-failed")
    assert 'dmsr_unusable_tiles_total{device="restorer:' in httpx.get(f"{service.url}/metrics").text


def test_the_models_are_those_of_the_restorers(service):
    cards = httpx.get(f"{service.url}/models").json()
    assert {(card["task"], card["device"]) for card in cards} == {
        (task, f"restorer:{number}") for task in ("derain", "dehaze") for number in range(2)
    }


def test_too_much_is_refused_with_the_time_to_come_back(service, server):
    with ThreadPoolExecutor(12) as callers:
        answers = list(callers.map(lambda _: post(service), range(12)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(answers) - len(refused) >= ROOM
    assert refused
    assert_nothing_lost(answers, httpx.post(f"{server.url}/derain", content=PICTURE, timeout=60))


def test_a_restorer_s_death_is_noticed_by_nobody(service, plain_answer):
    with under_load(service) as answers:
        service.kill("Restorer")
    assert {answer.status_code for answer in answers} == {200}
    assert_nothing_lost(answers, plain_answer)
    service.await_ready("Restorer", 2)


def test_an_ingress_s_death_loses_no_request(service, plain_answer):
    with under_load(service) as answers:
        service.kill("Ingress")
    assert 200 in {answer.status_code for answer in answers}
    assert 503 in {answer.status_code for answer in answers}
    assert_nothing_lost(answers, plain_answer)
    service.await_ready("Ingress", 1)


def test_a_node_s_death_loses_no_request(service, plain_answer):
    (worker,) = service.cluster.worker_nodes
    with under_load(service) as answers:
        service.cluster.remove_node(worker, allow_graceful=False)
    assert 200 in {answer.status_code for answer in answers}
    assert_nothing_lost(answers, plain_answer)
    service.add_node()
    service.await_ready("Restorer", 2)
    assert post(service).status_code == 200


@pytest.fixture
def plain_answer(server):
    return httpx.post(f"{server.url}/derain", content=PICTURE, timeout=60)

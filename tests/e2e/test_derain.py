"""The main job, by real requests to a real process."""

import httpx
import numpy as np
import pytest

from model import Restorer
from tests.e2e.server import run_server
from tests.pictures import decoded, drawn, encoded


@pytest.fixture(scope="module")
def expected(tiny_weights):
    restorer = Restorer.load(tiny_weights, device="cpu")
    return lambda rgb: restorer.restore(rgb)


@pytest.mark.parametrize("size", [(1, 1), (63, 200), (64, 64), (150, 203)])
def test_a_form_upload_comes_back_restored_in_its_own_size(client, expected, size):
    """The service gives the pixels that the library gives, whatever the batches were."""
    rgb = drawn(*size)
    answer = client.post("/derain", files={"file": ("photo.png", encoded(rgb))})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    difference = np.abs(decoded(answer.content).astype(int) - expected(rgb))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_a_raw_body_gives_the_same_as_a_form(client):
    data = encoded(drawn(80, 90))
    raw = client.post("/derain", content=data, headers={"content-type": "image/png"})
    form = client.post("/derain", files={"file": ("x", data)})
    assert raw.status_code == form.status_code == 200
    assert raw.content == form.content


def test_a_body_without_content_type_is_read_as_a_picture(client):
    assert client.post("/derain", content=encoded(drawn(64, 64))).status_code == 200


def test_the_network_really_ran(client):
    """Random weights change a picture; an answer equal to the input would mean that nobody restored it."""
    rgb = drawn(100, 100)
    assert not np.array_equal(decoded(client.post("/derain", content=encoded(rgb)).content), rgb)


def test_a_broken_image_is_422_and_a_problem(client):
    data = encoded(drawn(200, 200), "webp")
    answer = client.post("/derain", content=data[: len(data) // 2])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "/problems/undecodable-image"
    assert problem["status"] == 422
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_text_is_not_an_image(client):
    assert client.post("/derain", content=b"hello").status_code == 415


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"content": b""}, "empty"),
        ({"files": {"picture": b"x"}}, "picture"),
        ({"files": [("file", b"a"), ("file", b"b")]}, "2 parts"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "boundary"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, "multipart"),
    ],
)
def test_malformed_bodies_name_the_remedy(client, kwargs, word):
    answer = client.post("/derain", **kwargs)
    assert answer.status_code == 400
    assert word in answer.json()["detail"]


def test_a_task_without_weights_is_503(client):
    answer = client.post("/dehaze", content=encoded(drawn(64, 64)))
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/task-unavailable"


def test_a_request_id_of_the_caller_is_kept(client):
    assert client.get("/livez", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/livez", headers={"x-request-id": "no spaces"}).headers["x-request-id"] != "no spaces"


def test_many_at_once_share_batches_and_stay_apart(server, client, expected):
    """Concurrent pictures of different sizes each come back as themselves."""
    import asyncio

    import httpx

    pictures = [drawn(40 + 30 * i, 170 - 20 * i, seed=i) for i in range(6)]

    async def all_at_once():
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as many:
            return await asyncio.gather(*(many.post("/derain", content=encoded(rgb)) for rgb in pictures))

    for rgb, answer in zip(pictures, asyncio.run(all_at_once()), strict=True):
        assert answer.status_code == 200
        assert np.abs(decoded(answer.content).astype(int) - expected(rgb)).max() <= 1


def test_noise_never_reaches_the_caller(noisy_weights, tmp_path):
    """Tiles that the network turns into noise come back as they came; header and metric tell."""
    settings = {"DMSR_WEIGHTS_DERAIN": str(noisy_weights), "DMSR_WEIGHTS_DEHAZE": "off", "DMSR_RUNNER_MAX_TILES": "1"}
    with run_server(tmp_path, settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.post("/derain", params={"scale": 1}, content=encoded(drawn(90, 130)))
        assert answer.status_code == 200, answer.text
        assert np.array_equal(decoded(answer.content), drawn(90, 130))
        told = "6 of 6 tiles came out of the network as noise and were left as they were."
        assert answer.headers["x-dmsr-warning"] == told
        metrics = client.get("/metrics").text
        assert 'dmsr_tiles_total{result="kept",task="derain"} 6.0' in metrics
        assert 'dmsr_unusable_tiles_total{device="cpu",task="derain"} 6.0' in metrics

"""What a caller may ask for, and what the answer says beside the picture."""

import re

import numpy as np
import pytest

from tests.pictures import decoded, drawn, encoded

PHOTO = drawn(70, 90)
MAGIC = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF", "tiff": b"II*\0"}


def post(client, query="", body=None, **headers):
    body = encoded(PHOTO) if body is None else body
    answer = client.post(f"/derain{query}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("format", MAGIC)
@pytest.mark.parametrize("by", ["query", "accept"])
def test_the_format_asked_for_comes_back(client, format, by):
    query, accept = (f"?format={format}", "*/*") if by == "query" else ("", f"image/{format}, */*;q=0.1")
    answer = post(client, query, accept=accept)
    assert answer.headers["content-type"] == f"image/{format}"
    assert answer.content.startswith(MAGIC[format])
    assert decoded(answer.content).shape == PHOTO.shape


def test_the_query_goes_before_accept(client):
    assert post(client, "?format=webp", accept="image/jpeg").headers["content-type"] == "image/webp"


def test_less_quality_means_fewer_bytes(client):
    small, large = (len(post(client, f"?format=jpeg&quality={quality}").content) for quality in (20, 95))
    assert small < large / 2


def test_metadata_can_be_stripped(client):
    from PIL import Image

    exif = Image.Exif()
    exif[0x013B] = "Ada"
    body = encoded(PHOTO, "jpeg", exif=exif)
    assert b"Ada" in post(client, "?format=jpeg", body).content
    assert b"Ada" not in post(client, "?format=jpeg&metadata=strip", body).content


def test_the_residual_is_what_was_removed(client):
    restored = decoded(post(client).content).astype(int)
    residual = decoded(post(client, "?output=residual").content)
    assert np.array_equal(residual, np.abs(PHOTO - restored))


def test_the_headers_tell_what_was_done(client):
    answer = post(client)
    change = np.abs(decoded(answer.content).astype(int) - PHOTO)
    found = re.fullmatch(r"mean=([\d.]+), max=(\d+)", answer.headers["x-dmsr-change"])
    assert float(found[1]) == pytest.approx(change.mean(), abs=0.001)
    assert int(found[2]) == change.max()
    stages = re.findall(r"(\w+);dur=[\d.]+", answer.headers["server-timing"])
    assert stages == ["probe", "admit", "decode", "cut", "queue", "device", "stitch", "encode"]
    card = client.get("/models").json()[0]
    assert answer.headers["x-dmsr-weights"] == f"{card['weights']}; sha256={card['sha256'][:12]}"


def test_the_models_are_described(client, tiny_config):
    (card,) = client.get("/models").json()
    assert (card["task"], card["weights"], card["device"]) == ("derain", "tiny", "cpu")
    assert (card["width"], card["depth"], card["tile"], card["overlap"]) == (4, 1, 64, 16)
    assert re.fullmatch(r"[0-9a-f]{64}", card["sha256"])
    assert card["licence"]


def test_an_early_answer_closes_the_connection_only_if_the_body_may_not_end(client):
    """A small body that nobody reads costs less than a new connection."""
    assert "connection" not in client.post("/nowhere", content=b"small").headers
    assert client.post("/nowhere", content=iter([b"chunked"])).headers["connection"] == "close"


def test_the_document_describes_every_route_and_no_cdn_is_asked(client):
    document = client.get("/openapi.json").json()
    paths = {"/derain", "/dehaze", "/progress/{request_id}", "/models", "/livez", "/readyz", "/metrics"}
    assert set(document["paths"]) == paths
    answers = document["paths"]["/derain"]["post"]["responses"]
    assert set(answers) == {"200", *["400", "401", "406", "408", "413", "415", "422", "429", "500", "503", "504"]}
    assert set(answers["413"]["content"]["application/problem+json"]["examples"]) == {
        "body-too-large",
        "image-too-large",
    }
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404

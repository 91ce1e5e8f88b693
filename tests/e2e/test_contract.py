"""What a caller may ask for, and what the answer says beside the picture."""

import re
from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
import pytest

from tests.e2e.raw import answer as read_answer
from tests.e2e.raw import connection, head
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
    assert stages == ["probe", "admit", "decode", "survey", "queue", "cut", "device", "stitch", "merge", "encode"]
    card = client.get("/models").json()[0]
    assert answer.headers["x-dmsr-weights"] == f"{card['weights']}; sha256={card['sha256'][:12]}"


@pytest.mark.parametrize("by", ["query", "form", "json"])
def test_options_work_the_same_wherever_they_stand(client, by):
    data, options = encoded(PHOTO, "jpeg"), {"format": "jpg", "quality": "40", "metadata": "strip"}
    if by == "query":
        answer = client.post("/derain", content=data, params=options)
    elif by == "form":
        answer = client.post("/derain", files={"file": ("holiday.jpg", data)}, data=options)
    else:
        body = {"data": b64encode(data).decode(), "filename": "holiday.jpg", **options}
        answer = client.post("/derain", json=body, headers={"accept": "image/jpeg"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    name = "picture" if by == "query" else "holiday"
    assert answer.headers["content-disposition"] == f'inline; filename="{name}-derained.jpg"'
    expected = client.post("/derain?format=jpeg&quality=40&metadata=strip", content=data).content
    assert np.abs(decoded(answer.content).astype(int) - decoded(expected)).max() <= 2


@pytest.mark.parametrize("by", ["form", "json"])
def test_a_misspelt_option_in_the_body_is_named(client, by):
    data = encoded(PHOTO)
    if by == "form":
        answer = client.post("/derain", files={"file": ("a.png", data)}, data={"qualty": "50"})
    else:
        answer = client.post("/derain", json={"data": b64encode(data).decode(), "qualty": 50})
    assert (answer.status_code, answer.json()["parameter"]) == (422, "qualty")


@pytest.mark.parametrize("query", ["format=png&format=jpeg", "quality=50&quality=50"])
def test_an_option_that_stands_twice_in_the_query_is_named(client, query):
    answer = client.post(f"/derain?{query}", content=encoded(PHOTO))
    assert (answer.status_code, answer.json()["parameter"]) == (422, query.partition("=")[0])
    assert "2 times" in answer.json()["detail"]


def test_json_in_is_json_out(client):
    answer = client.post("/derain", json={"data": b64encode(encoded(PHOTO)).decode(), "filename": "a.png"})
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert (found["media_type"], found["filename"], found["warnings"]) == ("image/png", "a-derained.png", [])
    restored = decoded(b64decode(found["data"])).astype(int)
    assert np.abs(restored - decoded(post(client).content)).max() <= 1
    assert decoded(b64decode(post(client, accept="application/json").json()["data"])).shape == PHOTO.shape


def test_the_answer_falls_back_to_the_next_format_that_can_hold_the_picture(client):
    see_through = encoded(np.dstack([PHOTO, PHOTO[..., 0]]))
    answer = post(client, body=see_through, accept="image/jpeg, image/tiff;q=0.5, image/png;q=0.9")
    assert answer.headers["content-type"] == "image/png"
    opaque = encoded(np.dstack([PHOTO, np.full_like(PHOTO[..., 0], 255)]))
    assert post(client, "?format=jpeg", opaque).headers["content-type"] == "image/jpeg"
    deep = encoded(np.full((64, 64), 999, np.uint16))
    browser = "text/html,image/avif,image/webp,*/*;q=0.8"
    assert post(client, body=deep, accept=browser).headers["content-type"] == "image/png"


def test_a_damaged_picture_is_refused_or_comes_back_with_a_warning(client):
    data = encoded(drawn(200, 200), "jpeg")
    start = data.index(b"\xff\xda") + 14
    half = data[: start + (len(data) - start) // 2]
    refused = client.post("/derain", content=half)
    assert refused.status_code == 422
    assert "damaged=accept" in refused.json()["detail"]
    accepted = post(client, "?damaged=accept", half)
    assert re.fullmatch(r"[45]\d\.\d% of the JPEG was missing\.", accepted.headers["x-dmsr-warning"])
    assert decoded(accepted.content).shape == (200, 200, 3)
    assert "x-dmsr-warning" not in post(client, body=data).headers


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/models", "/openapi.json", "/"])
def test_head_works_wherever_get_does(client, path):
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_head_is_not_get_where_there_is_none(client):
    answer = client.head("/derain")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert client.post("/models").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_what_is_true_now_is_not_kept_by_caches(client, path):
    assert client.get(path).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("target", ["http://test/models?x=1", "HTTP://test:80/models", "https://test/models"])
def test_an_absolute_address_is_its_path(server, target):
    with connection(server.url) as sock:
        sock.sendall(head(target, "Connection: close", method="GET"))
        status, received = read_answer(sock)
    assert status == 200
    assert b"derain" in received


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
    assert set(answers) == {
        "200",
        *["400", "401", "403", "406", "408", "413", "415", "422", "429", "500", "503", "504"],
    }
    assert set(answers["413"]["content"]["application/problem+json"]["examples"]) == {
        "body-too-large",
        "image-too-large",
    }
    assert client.get("/redoc").status_code == 404
    assert "script" not in client.get("/docs").text
    assert document["servers"][0]["url"] == "/"
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert names == ["derain", "dehaze", "progress", "models", "livez", "readyz", "scrape"]
    assert all("example" in parameter for operation in operations for parameter in operation.get("parameters", []))


LARGE = drawn(300, 330)


def test_a_given_scale_is_used_and_told(client):
    """72 tiles at full size; at 0.25 the whole picture is four."""
    answer = post(client, "?scale=0.25", encoded(LARGE))
    assert answer.headers["x-dmsr-scale"] == "0.25"
    assert decoded(answer.content).shape == LARGE.shape
    assert post(client, "?scale=1", encoded(LARGE)).headers["x-dmsr-scale"] == "1"


def test_the_scales_that_were_found_are_told(client):
    """Where a network of random weights finds rain is anyone's guess; where it finds none, nothing changes."""
    answer = post(client, "?scale=auto", encoded(LARGE))
    scales = answer.headers["x-dmsr-scale"]
    if scales == "none":
        assert np.array_equal(decoded(answer.content), LARGE)
    else:
        assert all(1 / 16 <= float(scale) <= 1 for scale in scales.split(", "))


def test_strength_scales_the_change(client):
    whole, half, none = (
        decoded(post(client, f"?scale=1&strength={strength}").content).astype(int) - PHOTO for strength in (1, 0.5, 0)
    )
    assert not none.any()
    assert whole.any()
    assert np.abs(half - whole / 2).max() <= 1


def test_sixteen_bits_keep_their_depth_at_any_scale(client):
    """Where the difference is one step of 8 bits, all lower bits stay as they were."""
    from PIL import Image

    deep = np.random.default_rng(0).integers(3000, 60000, (130, 150), np.uint16)
    answer = post(client, "?scale=0.5", encoded(deep))
    restored = np.asarray(Image.open(BytesIO(answer.content))).astype(int)
    inside = (restored > 0) & (restored < 65535)  # elsewhere black or white was reached
    assert ((restored - deep)[inside] % 257 == 0).all()
    assert (restored % 257 != 0).any()


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("scale=2", "scale"),
        ("scale=0.01", "scale"),
        ("scale=half", "scale"),
        ("strength=2", "strength"),
        ("strength=-1", "strength"),
    ],
)
def test_a_scale_or_strength_that_cannot_be_is_named(client, query, parameter):
    answer = client.post(f"/derain?{query}", content=encoded(PHOTO))
    assert answer.status_code == 422
    assert parameter in answer.json()["parameter"]

import asyncio
from hashlib import sha256

import pytest

from app.errors import Unauthorized
from app.middleware.api_keys import ApiKeys, KeysError, read_keys

ONE, OTHER = sha256(b"one").hexdigest(), sha256(b"other").hexdigest()


def test_a_keys_file_has_hashes_names_and_comments(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{ONE}  a web page\n\n  {OTHER.upper()}\n")
    assert read_keys(path) == [bytes.fromhex(ONE), bytes.fromhex(OTHER)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{ONE}\nplain-text-key\n", "line 2: no sha256"),
        ("# nothing\n", "has no keys"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_keys_file_that_cannot_be_used_says_why(tmp_path, content, words):
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeysError, match=words) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert "plain-text-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "headers", "allowed"),
    [
        ("/derain", [], False),
        ("/derain", [(b"x-api-key", b"one")], True),
        ("/derain", [(b"x-api-key", b"other")], True),
        ("/derain", [(b"x-api-key", b"neither")], False),
        ("/derain", [(b"x-api-key", ONE.encode())], False),
        ("/derain", [(b"authorization", b"Bearer one")], True),
        ("/derain", [(b"authorization", b"bearer  one ")], True),
        ("/derain", [(b"authorization", b"Basic one")], False),
        ("/derain", [(b"authorization", b"Bearer")], False),
        ("/derain", [(b"x-api-key", b"\xff\x00")], False),
        ("/livez", [], True),
        ("/livez/", [], False),
    ],
)
def test_only_a_key_or_an_open_path_lets_in(path, headers, allowed):
    passed = []

    async def app(scope, receive, send):
        passed.append(scope["path"])

    keys = ApiKeys(app, [bytes.fromhex(ONE), bytes.fromhex(OTHER)], frozenset(["/livez"]))
    call = keys({"type": "http", "path": path, "headers": headers}, None, None)
    if allowed:
        asyncio.run(call)
    else:
        with pytest.raises(Unauthorized):
            asyncio.run(call)
    assert bool(passed) is allowed

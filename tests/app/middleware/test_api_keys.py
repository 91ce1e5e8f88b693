import asyncio
from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from app.errors import Unauthorized
from app.middleware.api_keys import ApiKeys, KeysError, KeysFile, read_keys

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
        (f"{ONE}\n{sha256(b'').hexdigest()}\n", "line 2: the sha256 of an empty key"),
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
def test_only_a_key_or_an_open_path_lets_in(tmp_path, path, headers, allowed):
    passed = []

    async def app(scope, receive, send):
        passed.append(scope["path"])

    (tmp_path / "keys").write_text(f"{ONE}\n{OTHER}\n")
    keys = ApiKeys(app, KeysFile(tmp_path / "keys"), frozenset(["/livez"]))
    call = keys({"type": "http", "path": path, "headers": headers}, None, None)
    if allowed:
        asyncio.run(call)
    else:
        with pytest.raises(Unauthorized):
            asyncio.run(call)
    assert bool(passed) is allowed


def test_a_changed_file_counts_without_a_restart(tmp_path):
    """It is looked at once a second, and one that cannot be used changes nothing."""
    path, now = tmp_path / "keys", 0.0
    path.write_text(f"{ONE}\n")
    keys = KeysFile(path, lambda: now)
    for content, want in (
        (f"{OTHER}  another\n", [OTHER]),
        ("no hash at all\n", [OTHER]),
        (None, [OTHER]),
        (f"{ONE}\n{OTHER}\n", [ONE, OTHER]),
    ):
        before = keys.digests()
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        assert keys.digests() == before
        now += 1
        assert keys.digests() == [bytes.fromhex(digest) for digest in want]


@pytest.mark.parametrize(("mode", "warned"), [(0o644, False), (0o666, True)])
def test_a_file_that_everyone_can_write_is_warned_of(tmp_path, mode, warned):
    path = tmp_path / "keys"
    path.write_text(f"{ONE}\n")
    path.chmod(mode)
    with capture_logs() as lines:
        KeysFile(path)
    assert [line["log_level"] for line in lines] == ["warning"] * warned

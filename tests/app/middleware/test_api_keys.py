import asyncio
from contextlib import suppress
from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from app.errors import TooManyWrongKeys, Unauthorized
from app.middleware.api_keys import ApiKeys, KeysError, KeysFile, WrongKeys, read_keys

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
    keys = ApiKeys(app, KeysFile(tmp_path / "keys"), WrongKeys(0), frozenset(["/livez"]))
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


class Door:
    """A door with the keys "one" and "other", three wrong keys a minute, and a clock set by hand."""

    def __init__(self, tmp_path):
        (tmp_path / "keys").write_text(f"{ONE}\n{OTHER}\n")
        self.now = 0.0
        self.tries = WrongKeys(3, lambda: self.now)
        self.keys = ApiKeys(self.let_in, KeysFile(tmp_path / "keys"), self.tries, frozenset(["/livez"]))

    async def let_in(self, scope, receive, send):
        pass

    def answer(self, key, address="192.0.2.1", path="/derain"):
        """Return the status that a key gets, and after how many seconds to come back."""
        headers = [(b"x-api-key", key.encode())] if key else []
        scope = {"type": "http", "path": path, "headers": headers, "client": (address, 1)}
        try:
            asyncio.run(self.keys(scope, None, None))
        except (Unauthorized, TooManyWrongKeys) as failure:
            return failure.status, failure.retry_after_seconds
        return 200, None


def test_after_too_many_wrong_keys_none_is_looked_at_for_a_minute(tmp_path):
    door = Door(tmp_path)
    assert [door.answer(f"guess {number}")[0] for number in range(3)] == [401] * 3
    door.now = 10.5
    assert door.answer("guess") == (429, 50)
    assert door.answer("one") == (429, 50), "it could be a guess that is right"
    assert door.answer("one", address="192.0.2.2") == (200, None)
    assert door.answer("", address="192.0.2.1") == (401, None), "that is no guess"
    assert door.answer("guess", path="/livez") == (200, None)
    door.now = 60
    assert door.answer("one") == (200, None)


def test_keys_that_were_right_before_stay_right_behind_a_shared_address(tmp_path):
    door = Door(tmp_path)
    door.answer("one")
    assert [door.answer("guess")[0] for _ in range(4)] == [401, 401, 401, 429]
    assert door.answer("one") == (200, None)
    assert door.answer("other")[0] == 429
    (tmp_path / "keys").write_text(f"{OTHER}\n")
    door.keys.keys = KeysFile(tmp_path / "keys")
    assert door.answer("one")[0] == 429, "it is right no more"


def test_wrong_keys_that_come_slowly_are_only_wrong(tmp_path):
    door = Door(tmp_path)
    for minute in range(5):
        door.now = 61 * minute
        assert [door.answer("guess")[0] for _ in range(2)] == [401] * 2


def test_the_limit_can_be_taken_away(tmp_path):
    door = Door(tmp_path)
    door.keys.wrong_keys = WrongKeys(0)
    assert [door.answer("guess")[0] for _ in range(100)] == [401] * 100


def test_so_many_addresses_are_remembered_and_no_more():
    tries = WrongKeys(2, lambda: 0.0)
    for number in range(10_000):
        for _ in range(2):
            tries.note(f"10.0.{number // 256}.{number % 256}", b"", right=False)
        with suppress(TooManyWrongKeys):
            tries.note("192.0.2.1", b"", right=False)  # is heard of again and again
    assert len(tries._tries) == 4096
    with pytest.raises(TooManyWrongKeys):
        tries.note("192.0.2.1", b"", right=False)

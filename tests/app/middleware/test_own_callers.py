"""Who may call a service that listens on this machine alone: not every page that somebody looks at."""

import asyncio

import pytest

from app.errors import Forbidden
from app.middleware.own_callers import OwnCallers, allowed_hosts

LOCAL = allowed_hosts("127.0.0.1", "")


def passes(hosts, origins=(), method="POST", **headers):
    passed = []

    async def app(scope, receive, send):
        passed.append(scope)

    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    call = OwnCallers(app, hosts, origins)({"type": "http", "method": method, "headers": lines}, None, None)
    try:
        asyncio.run(call)
    except Forbidden:
        assert not passed
        return False
    return bool(passed)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:8000", "[::1]"])
def test_this_machine_s_names_are_answered_on_loopback(host):
    assert passes(LOCAL, host=host)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil:1"]
)
def test_names_that_others_let_point_here_are_not(host):
    assert not passes(LOCAL, host=host)
    assert not passes(LOCAL, method="GET", host=host)


@pytest.mark.parametrize(
    ("listens", "setting", "host", "answered"),
    [
        ("0.0.0.0", "", "photos.example.org", True),
        ("localhost", "", "photos.example.org", False),
        ("::1", "", "photos.example.org", False),
        ("127.0.0.1", "photos.example.org, other", "photos.example.org", True),
        ("127.0.0.1", "photos.example.org", "localhost", False),
        ("127.0.0.1", "*", "photos.example.org", True),
        ("0.0.0.0", "photos.example.org", "evil.example", False),
    ],
)
def test_the_setting_names_others(listens, setting, host, answered):
    assert passes(allowed_hosts(listens, setting), host=host) is answered


@pytest.mark.parametrize(
    ("headers", "origins", "passed"),
    [
        ({"sec_fetch_site": "cross-site", "origin": "https://evil.example"}, (), False),
        ({"sec_fetch_site": "cross-site"}, (), False),
        ({"sec_fetch_site": "cross-site", "origin": "https://ours.example"}, ("https://ours.example",), True),
        ({"sec_fetch_site": "cross-site", "origin": "https://evil.example"}, ("https://ours.example",), False),
        ({"sec_fetch_site": "cross-site", "origin": "https://any.example"}, ("*",), True),
        ({"sec_fetch_site": "same-origin", "origin": "http://localhost:8000"}, (), True),
        ({"sec_fetch_site": "none"}, (), True),
        ({}, (), True),
    ],
)
def test_pages_of_other_sites_may_not_post(headers, origins, passed):
    assert passes(LOCAL, origins, host="localhost", **headers) is passed
    assert passes(LOCAL, origins, "GET", host="localhost", **headers)

from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, variables


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("DMSR_"):
            monkeypatch.delenv(name)


def test_defaults_need_no_environment():
    settings = Settings.from_environment()
    assert settings.queue.tiles == 12_000
    assert settings.devices == "auto"


def test_every_variable_is_read(monkeypatch):
    """Each listed name reaches its field: a number that differs from the default comes back."""
    for name, (default, _) in variables().items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            monkeypatch.setenv(name, str(default + 1024))
            group, field = name.removeprefix("DMSR_").lower().split("_", 1)
            if name != "DMSR_RUNNER_MAX_TILES":
                assert getattr(getattr(Settings.from_environment(), group), field) == default + 1024
            monkeypatch.delenv(name)


def test_an_empty_variable_is_the_default(monkeypatch):
    """Compose files pass unset variables on as empty ones."""
    monkeypatch.setenv("DMSR_WEIGHTS_DERAIN", "")
    assert Settings.from_environment().weights.derain is None


def test_a_task_may_be_left_out(monkeypatch):
    monkeypatch.setenv("DMSR_WEIGHTS_DEHAZE", "off")
    assert Settings.from_environment().weights.dehaze == "off"
    monkeypatch.setenv("DMSR_WEIGHTS_DEHAZE", "./off")
    assert Settings.from_environment().weights.dehaze == Path("off")


def test_a_misspelt_variable_is_named(monkeypatch):
    monkeypatch.setenv("DMSR_QUEUE_TILE", "5")
    monkeypatch.setenv("DMSR_NOPE", "5")
    with pytest.raises(SettingsError, match="DMSR_NOPE, DMSR_QUEUE_TILE"):
        Settings.from_environment()


def test_every_wrong_value_is_named(monkeypatch):
    monkeypatch.setenv("DMSR_QUEUE_TILES", "0")
    monkeypatch.setenv("DMSR_RUNNER_PRECISION", "fp8")
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment()
    assert "DMSR_QUEUE_TILES='0'" in str(caught.value)
    assert "DMSR_RUNNER_PRECISION='fp8'" in str(caught.value)


def test_every_variable_says_what_it_does():
    assert all(description for _, description in variables().values())


@pytest.mark.parametrize(
    "origin",
    ["https://example.org/", "https://example.org/app", "example.org", "https://Example.org", "https://example.org:443",
     "http://example.org:80", "https://*.example.org", "http://localhost:05173", "https://a.org:0",
     "ftp://example.org", "https://a.org;https://b.org"],
)  # fmt: skip
def test_an_origin_that_no_browser_sends_stops_the_start(monkeypatch, origin):
    monkeypatch.setenv("DMSR_CORS_ORIGINS", f"https://fine.org,{origin}")
    with pytest.raises(SettingsError, match="not an origin as browsers write it"):
        Settings.from_environment()


@pytest.mark.parametrize(
    "origins",
    ["*", "https://example.org", "http://localhost:5173, https://a.b", "http://[::1]:80", "http://my_app:8080"],
)
def test_origins_as_browsers_write_them_are_taken(monkeypatch, origins):
    monkeypatch.setenv("DMSR_CORS_ORIGINS", origins)
    assert Settings.from_environment().cors.origins == origins


@pytest.mark.parametrize(
    "host", ["http://example.org", "example.org:8000", "example.org/", "*.example.org", "[::1]", "a b", "localhost:80"]
)
def test_a_host_that_no_request_is_for_stops_the_start(monkeypatch, host):
    monkeypatch.setenv("DMSR_SERVER_HOSTS", f"fine.org,{host}")
    with pytest.raises(SettingsError, match="not a name alone"):
        Settings.from_environment()


@pytest.mark.parametrize("hosts", ["*", "Example.org, my_app", "::1,fe80::1,127.0.0.1"])
def test_hosts_as_requests_name_them_are_taken(monkeypatch, hosts):
    monkeypatch.setenv("DMSR_SERVER_HOSTS", hosts)
    assert Settings.from_environment().server.hosts == hosts

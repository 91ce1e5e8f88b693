import httpx
import pytest

from tests.e2e.server import run_server


@pytest.fixture(scope="session")
def server(tiny_weights, tmp_path_factory):
    """One real server for the whole session, deraining with tiny random weights; /dehaze has none."""
    with run_server(tmp_path_factory.mktemp("server"), {"DMSR_WEIGHTS_DERAIN": str(tiny_weights)}) as running:
        yield running


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client

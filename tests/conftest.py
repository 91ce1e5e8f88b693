import httpx
import pytest
import torch

from model.checkpoints.checkpoint import CheckpointInfo, save_checkpoint
from model.network.config import DMSRConfig
from model.network.network import DMSR
from tests.e2e.server import run_server

# Tiny networks gain nothing from a second thread, and on a busy machine threads that wait for each other lose a lot.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_config():
    return DMSRConfig(width=4, depth=1)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory, tiny_config):
    """A whole weights file of the smallest network, random but fixed, with 64-pixel tiles to be quick."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    info = CheckpointInfo(tiny_config, "derain", tile=64, overlap=16)
    save_checkpoint(path, DMSR(tiny_config).state_dict(), info)
    return path


@pytest.fixture(scope="session")
def noisy_weights(tmp_path_factory, tiny_config):
    """Weights that turn every picture but a flat one into noise, as those do that have exploded."""
    path = tmp_path_factory.mktemp("weights") / "noisy.safetensors"
    torch.manual_seed(0)
    network = DMSR(tiny_config)
    with torch.no_grad():
        network.conv_first.weight.mul_(1000)
    save_checkpoint(path, network.state_dict(), CheckpointInfo(tiny_config, "derain", tile=64, overlap=16))
    return path


@pytest.fixture(scope="session")
def server(tiny_weights, tmp_path_factory):
    """One real server for the whole session, deraining with tiny random weights; /dehaze has none."""
    # Few tiles a batch: most of a tiny server's start is the search for the best batch.
    settings = {"DMSR_WEIGHTS_DERAIN": str(tiny_weights), "DMSR_WEIGHTS_DEHAZE": "off", "DMSR_RUNNER_MAX_TILES": "4"}
    with run_server(tmp_path_factory.mktemp("server"), settings) as running:
        yield running


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client

from hashlib import sha256

import pytest
import torch

from model.checkpoints.checkpoint import CheckpointInfo, save_checkpoint
from model.network.config import DMSRConfig
from model.network.network import DMSR
from tests.e2e.server import run_server

KEY = "a-key-of-the-tests"


def saved(network, path, task):
    save_checkpoint(path, network.state_dict(), CheckpointInfo(network.config, task, tile=64, overlap=16))
    return path


@pytest.fixture(scope="session")
def fragile_weights(tmp_path_factory, tiny_config):
    """Dehazing weights that are finite on the warm-up's grey and overflow float32 on anything brighter."""
    torch.manual_seed(0)
    network = DMSR(tiny_config)
    with torch.no_grad():
        network.conv_first.weight.zero_()
        network.conv_first.weight[:, 0, 1, 1] = 3e38
        network.conv_first.bias.fill_(-1.5e38)
    return saved(network, tmp_path_factory.mktemp("weights") / "fragile.safetensors", "dehaze")


@pytest.fixture(scope="session")
def slow_weights(tmp_path_factory):
    """Deraining weights that need a second to warm up and a tenth for a tile."""
    torch.manual_seed(0)
    network = DMSR(DMSRConfig(width=16, depth=3))
    return saved(network, tmp_path_factory.mktemp("weights") / "slow.safetensors", "derain")


@pytest.fixture(scope="session")
def strict_server(tiny_weights, fragile_weights, tmp_path_factory):
    """A server with small limits, which asks for a key, lets pages of example.org call, and fails at /dehaze."""
    folder = tmp_path_factory.mktemp("strict")
    keys = folder / "keys"
    keys.write_text(f"# who may call\n\n{sha256(KEY.encode()).hexdigest()}  the tests\n")
    environment = {
        "DMSR_WEIGHTS_DERAIN": tiny_weights,
        "DMSR_WEIGHTS_DEHAZE": fragile_weights,
        "DMSR_AUTH_KEYS_FILE": keys,
        "DMSR_AUTH_METRICS": "true",
        "DMSR_CORS_ORIGINS": "https://example.org",
        "DMSR_LIMITS_BODY_BYTES": 100_000,
        "DMSR_LIMITS_BODY_SECONDS": 1,
        "DMSR_LIMITS_BUFFERED_BYTES": 150_000,
        "DMSR_LIMITS_PIXELS": 160_000,
        "DMSR_LIMITS_SIDE": 500,
        "DMSR_QUEUE_TILES": 185,
        "DMSR_RUNNER_MAX_TILES": 4,
    }
    with run_server(folder, {name: str(value) for name, value in environment.items()}) as running:
        yield running

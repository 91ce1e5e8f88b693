"""What only a card can tell: `pytest -m gpu`. Elsewhere these are skipped."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import CheckpointInfo, load_checkpoint
from model.inference.precision import bearable, error, patterned
from model.inference.runner import TileRunner
from model.network.config import DMSRConfig
from model.network.network import DMSR
from tests.pictures import drawn

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "weights").glob("*.safetensors"))
several = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two CUDA devices")


def tiles(side, count):
    return np.stack([drawn(side, side, seed) for seed in range(count)])


def differ(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def built(config, device="cuda", precision="auto", max_tiles=8, seed=0):
    torch.manual_seed(seed)
    return TileRunner(DMSR(config), CheckpointInfo(config, "derain"), device, precision, max_tiles)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_run_in_float16(path):
    """The gate lets them, with a margin, and pictures of another kind are as near to float32."""
    subject = TileRunner.load(path, "cuda")
    exact = TileRunner.load(path, "cuda", "fp32")
    for batch in (patterned(subject.tile, 2), tiles(subject.tile, 4)):
        one, other = (torch.from_numpy(runner.run(batch).tiles) for runner in (subject, exact))
        assert bearable(one, other), error(one, other)
    assert (subject.precision, subject.precision_demotions) == ("fp16", 0)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_float32_is_float32(path):
    """No TF32 in it: as near to the processor's float64 as rounding to 8 bits allows."""
    network, info = load_checkpoint(path)
    batch = patterned(info.tile)
    x = torch.from_numpy(batch).permute(0, 3, 1, 2).double().div(255)
    # The Fourier unit casts to float32 by itself, which is one of the differences measured here.
    with torch.inference_mode():
        wanted = network.double()(x)[0].clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy()
    found = TileRunner.load(path, "cuda", "fp32").run(batch).tiles
    assert differ(found, wanted).max() <= 1
    assert (differ(found, wanted) > 0).mean() < 1e-3


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_graph_gives_what_the_network_gives(precision):
    """Every count up to the largest bucket, padded or not, in the same precision before and after the warm-up."""
    subject = built(DMSRConfig(16, 2), precision=precision)
    batch = tiles(128, 8)
    plain = subject.run(batch).tiles
    used = subject.precision
    subject.warm_up()
    assert subject.precision == used
    assert subject._graphs is not None
    for count in range(1, subject.max_tiles + 1):
        difference = differ(subject.run(batch[:count]).tiles, plain[:count])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_give_the_same_in_every_batch_size(path):
    subject = TileRunner.load(path, "cuda", max_tiles=64)
    batch = tiles(subject.tile, 8)
    plain = subject.run(batch).tiles
    subject.warm_up()
    for count in range(1, 9):
        assert differ(subject.run(batch[:count]).tiles, plain[:count]).max() <= 2


@several
def test_the_second_device_gives_what_the_first_gives():
    batch = tiles(128, 5)
    one, other = (built(DMSRConfig(16, 2), device) for device in ("cuda:0", "cuda:1"))
    for subject in (one, other):
        subject.warm_up()
        assert subject._graphs is not None
    assert differ(one.run(batch).tiles, other.run(batch).tiles).max() <= 1
    assert torch.cuda.current_device() == 0


@several
def test_two_devices_warm_up_at_once():
    subjects = [built(DMSRConfig(16, 2), device) for device in ("cuda:0", "cuda:1")]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(TileRunner.warm_up, subjects))
    assert all(subject._graphs for subject in subjects)
    batch = tiles(128, 4)
    assert differ(subjects[0].run(batch).tiles, subjects[1].run(batch).tiles).max() <= 1


def test_two_networks_on_one_device_do_not_disturb_each_other():
    """Their graphs share memory; four threads call both at once, and every tile is its own."""
    subjects = [built(DMSRConfig(16, 1), seed=seed, max_tiles=4) for seed in (1, 2)]
    batches = [np.stack([drawn(128, 128, 10 * k + n) for n in range(1 + k % 4)]) for k in range(8)]
    wanted = [[subject.run(batch).tiles for batch in batches] for subject in subjects]
    for subject in subjects:
        subject.warm_up()
    failures, start = [], threading.Barrier(4)

    def caller(number):
        start.wait(60)
        for turn in range(40):
            which, k = (number + turn) % 2, (number * 3 + turn) % 8
            found = subjects[which].run(batches[k]).tiles
            if differ(found, wanted[which][k]).max() > 1:
                failures.append((number, turn))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(caller, range(4)))
    assert not failures


def test_a_batch_that_does_not_fit_is_halved():
    """A part of the card's memory is allowed, in which sixteen large tiles do not fit."""
    subject = built(DMSRConfig(48, 1), precision="fp32", max_tiles=64)
    batch = np.stack([drawn(512, 512, seed) for seed in range(2)])
    wanted = subject.run(batch).tiles
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 3 * 2**30) / total))
        found = subject.run(np.repeat(batch, 16, axis=0)).tiles
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert subject.memory_splits > 0
    assert differ(found[::16], wanted).max() <= 1


def test_a_failed_capture_leaves_the_device_usable(monkeypatch):
    """Something in the capture waits for the device, which no capture may: the network runs without graphs."""
    subject = built(DMSRConfig(8, 1), max_tiles=2)
    plain, restore = subject.run(tiles(128, 2)).tiles, subject._restore

    def waiting(batch, precision=None):
        result = restore(batch, precision)
        torch.cuda.synchronize()
        return result

    monkeypatch.setattr(subject, "_restore", waiting)
    subject.warm_up()
    assert subject._graphs is None
    assert differ(subject.run(tiles(128, 2)).tiles, plain).max() <= 1


DOOM = """
import numpy as np, torch
from model.checkpoints.checkpoint import CheckpointInfo
from model.inference.contract import DeviceFault
from model.inference.runner import TileRunner
from model.network.config import DMSRConfig
from model.network.network import DMSR
config = DMSRConfig(8, 1)
runner = TileRunner(DMSR(config), CheckpointInfo(config, "derain"), "cuda")
batch = np.zeros((1, 128, 128, 3), np.uint8)
runner.run(batch)
torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")]  # asserts on the device
try:
    runner.run(batch)
except DeviceFault:
    raise SystemExit(1)
"""


def test_an_assertion_on_the_device_is_a_device_fault():
    """The error is sticky, so only another process can have it."""
    done = subprocess.run([sys.executable, "-c", DOOM], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr


def test_the_service_restores_a_picture(tmp_path):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    from tests.e2e.server import run_server
    from tests.pictures import decoded, encoded

    with run_server(tmp_path, {"DMSR_DEVICES": "cuda"}) as server, httpx.Client(base_url=server.url) as client:
        picture = drawn(300, 400)
        for task in ("derain", "dehaze"):
            answer = client.post(f"/{task}", content=encoded(picture), timeout=120)
            assert answer.status_code == 200
            assert decoded(answer.content).shape == picture.shape
        assert 'precision="fp16"' in client.get("/metrics").text
        assert server.stop() == 0

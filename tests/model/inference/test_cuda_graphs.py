"""CUDA graphs, on a card that is not there (fake_cuda.py); test_cuda.py has what only a real one can tell."""

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from model.checkpoints.checkpoint import CheckpointInfo
from model.inference import cuda_graphs
from model.inference.contract import DeviceFault
from model.inference.cuda_graphs import smallest_bucket
from model.inference.precision import PROCESS_WIDE
from model.inference.runner import TileRunner
from model.network.network import DMSR
from tests.model.inference.fake_cuda import FakeCuda


class Darker(nn.Module):
    """A network that halves the light, and counts the times that Python runs it."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return x * 0.5, None, None


@pytest.fixture
def fake(monkeypatch):
    cuda_graphs.card.cache_clear()
    yield FakeCuda(monkeypatch)
    cuda_graphs.card.cache_clear()


@pytest.fixture
def runner(fake, tiny_config):
    def make(device="cuda:0", network=None, max_tiles=4, precision="fp32"):
        info = CheckpointInfo(tiny_config, "derain", tile=64)
        return TileRunner(network or Darker(), info, device, precision, max_tiles)

    return make


def tiles(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), np.uint8)


def darker(batch):
    return np.round(batch * np.float32(0.5)).astype(np.uint8)


def warmed(subject):
    """Warm up by a clock on which every batch takes as long as any other, so that larger ones pay."""
    now = iter(range(10**6))
    subject.warm_up(clock=lambda: next(now))
    return subject


@pytest.mark.parametrize(("count", "bucket"), [(1, 1), (2, 4), (4, 4), (5, 16), (17, None)])
def test_the_smallest_bucket_that_holds_the_tiles_is_taken(count, bucket):
    assert smallest_bucket({1, 4, 16}, count) == bucket


def test_a_cpu_has_no_graphs(tiny_config):
    runner = TileRunner(DMSR(tiny_config), CheckpointInfo(tiny_config, "derain", tile=64), device="cpu")
    runner.warm_up()
    assert not runner.overlaps_host


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_graphs_give_the_network_s_tiles_on_every_device(runner, device):
    """On the second device, too, while the first one is the thread's current one."""
    subject = warmed(runner(device))
    before = len(subject._fast.batches)
    for count in range(1, 5):
        assert np.abs(subject.run(tiles(count)).tiles.astype(int) - darker(tiles(count))).max() <= 1
    assert len(subject._fast.batches) == before, "the network itself was run"


def test_a_capture_has_device_stream_lock_and_mode_of_its_own(fake, runner):
    fake.holding = [PROCESS_WIDE]
    warmed(runner("cuda:1"))
    assert fake.captures
    assert {mode for mode, _, _ in fake.captures} == {"thread_local"}
    assert {stream.device_index for _, _, stream in fake.captures} == {1}
    assert len({stream for _, _, stream in fake.captures}) == 1
    assert fake.current == 0


def test_a_graph_that_gives_something_else_is_not_used(fake, runner, monkeypatch, caplog):
    """An empty graph leaves the tiles as they were; the network then runs without graphs, and a warning says so."""
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: None)
    with caplog.at_level(logging.WARNING):
        subject = warmed(runner())
    assert subject._graphs is None
    assert "does not give what the network gives" in caplog.text
    assert np.abs(subject.run(tiles(4)).tiles.astype(int) - darker(tiles(4))).max() <= 1


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture"),
        RuntimeError("cuDNN error"),
    ],
)
def test_a_failure_at_the_first_capture_means_no_graphs_and_a_warning(fake, runner, caplog, failure):
    fake.fails = [failure] * 9
    with caplog.at_level(logging.WARNING):
        subject = warmed(runner())
    assert subject._graphs is None
    assert subject.max_tiles == 4
    assert str(failure) in caplog.text
    assert np.abs(subject.run(tiles(4)).tiles.astype(int) - darker(tiles(4))).max() <= 1


def test_memory_that_ends_at_a_larger_batch_ends_the_search(fake, runner):
    """Two tiles were captured, four do not fit: two it is, with graphs."""
    fake.fails = [None, None, torch.OutOfMemoryError("CUDA out of memory")]
    subject = warmed(runner(max_tiles=64))
    assert subject.max_tiles == 2
    assert subject._graphs is not None
    assert ("empty_cache", None, threading.get_ident()) in fake.log


def test_a_device_lost_at_a_capture_is_no_warning(fake, runner):
    fake.fails = [torch.AcceleratorError("CUDA error: an illegal memory access was encountered")]
    subject = runner()
    fake.alive = False
    with pytest.raises(DeviceFault):
        warmed(subject)


def test_the_graphs_that_stay_are_captured_largest_first_in_one_pool(fake, runner):
    """What the search captured is gone with its pool; both tasks' graphs lie in the device's common one."""
    warmed(runner(max_tiles=4))
    first = fake.captures[:]
    warmed(runner(max_tiles=2))
    second = fake.captures[len(first) :]
    common = cuda_graphs.card(torch.device("cuda:0")).pool
    assert [pool == common for _, pool, _ in first] == [False] * 3 + [True] * 3
    assert [pool == common for _, pool, _ in second] == [False] * 2 + [True] * 2
    assert first[0][1] != second[0][1]


def test_the_largest_comes_first(fake, runner, monkeypatch):
    counts, graph = [], cuda_graphs.Graph
    monkeypatch.setattr(cuda_graphs, "Graph", lambda f, t, *rest: counts.append(len(t)) or graph(f, t, *rest))
    warmed(runner(max_tiles=4))
    assert counts == [1, 2, 4, 4, 2, 1]


def test_memory_that_runs_out_later_leaves_the_graphs_alone(runner):
    """They need none, and giving some up frees none."""
    subject = warmed(runner(max_tiles=4))
    graphs = dict(subject._graphs._graphs)

    def starving(x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    subject._graphs.run = lambda tiles: starving(tiles) if len(tiles) > 2 else None
    assert np.abs(subject.run(tiles(4)).tiles.astype(int) - darker(tiles(4))).max() <= 1
    assert (subject.max_tiles, subject.memory_splits) == (2, 1)
    assert subject._graphs._graphs == graphs


def test_copies_go_beside_the_compute(fake, runner):
    """In on one stream, out on another; each waits for what it needs, and the host only for the last of them."""
    subject = warmed(runner(max_tiles=1))
    card = cuda_graphs.card(torch.device("cuda:0"))
    fake.log.clear()
    subject.run(tiles(1))
    assert [(what, stream) for what, stream, _ in fake.log] == [
        ("wait", card.computing),
        ("replay", card.computing),
        ("wait", card.leaving),
        ("record", card.leaving),
        ("synchronize", None),
    ]
    assert card.arriving in card.computing.waits_for
    assert card.computing in card.leaving.waits_for


def test_a_second_batch_is_handed_over_while_the_first_is_on_its_way(fake, runner, monkeypatch):
    """And each caller gets its own tiles back, though both used the same graph."""
    subject = warmed(runner(max_tiles=1))
    both = threading.Barrier(2)
    plain = fake.synchronize

    def wait():
        both.wait(30)  # neither caller has its tiles before both were handed over
        plain()

    monkeypatch.setattr(fake, "synchronize", wait)
    with ThreadPoolExecutor(2) as callers:
        ends = [callers.submit(subject.run, tiles(1, seed)) for seed in (1, 2)]
        for seed, end in enumerate(ends, 1):
            assert np.abs(end.result(60).tiles.astype(int) - darker(tiles(1, seed))).max() <= 1


def test_a_first_replay_is_not_timed(fake, runner, monkeypatch):
    """It loads the graph onto the device. Timed, it makes two tiles look dear, and the search ends at one."""
    now, replayed = 0.0, Counter()
    replay = torch.cuda.CUDAGraph.replay

    def slow_at_first(graph):
        nonlocal now
        replayed[graph] += 1
        now += 1.0 if replayed[graph] <= 2 else 0.1
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", slow_at_first)
    subject = runner(max_tiles=4)
    seconds = subject.warm_up(clock=lambda: now)
    assert seconds == {1: pytest.approx(0.1), 2: pytest.approx(0.1), 4: pytest.approx(0.1)}
    assert subject.max_tiles == 4


def test_cudnn_tries_its_algorithms_in_the_warm_up_alone(runner):
    seen = []

    class Watching(Darker):
        def forward(self, x):
            seen.append(torch.backends.cudnn.benchmark)
            return super().forward(x)

    subject = warmed(runner(network=Watching(), max_tiles=1))
    assert True in seen
    seen.clear()
    subject._graphs = None
    subject.run(tiles(1))
    assert seen == [False]
    assert not torch.backends.cudnn.benchmark

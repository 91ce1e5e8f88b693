"""CUDA without a card: devices whose tensors lie in the host's memory, and whose graphs replay what was captured.

As on a real card a capture sees only what goes to the device of its stream, replays write where the capture wrote, and
nothing in a capture may wait for the device. Everything runs at once and in order, so that nothing is learnt about
races: those are for the tests marked `gpu`.
"""

import threading
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = {"aten::_local_scalar_dense", "aten::nonzero"}
"""Operators whose result the host waits for."""


class FakeCuda:
    """Take the place of torch.cuda while a test runs.

    log: what was asked for, in order: (what, stream, thread). holding: locks that must be held while something is
    captured. fails: exceptions, each raised by one capture.
    """

    def __init__(self, monkeypatch, count=2, capability=(9, 0), driver=True):
        self.log, self.fails, self.holding = [], [], []
        self.here = threading.local()
        self.alive = True
        self.benchmarked = []
        fake, tensor_to, zeros, empty = self, torch.Tensor.to, torch.zeros, torch.empty

        def to(tensor, *arguments, **options):
            moved = [a for a in (*arguments, *options.values()) if getattr(a, "type", "") == "cuda"]
            for device in moved:
                fake.here.tensors = device.index
            arguments = [torch.device("cpu") if getattr(a, "type", "") == "cuda" else a for a in arguments]
            options = {k: torch.device("cpu") if getattr(v, "type", "") == "cuda" else v for k, v in options.items()}
            result = tensor_to(tensor, *arguments, **options)
            # What arrives on another device is another tensor.
            return result.clone() if moved and result is tensor and not tensor.requires_grad else result

        class Stream:
            def __init__(self, device=None):
                self.device_index = fake.current if device is None else torch.device(device).index
                self.waits_for = []

            def wait_stream(self, other):
                fake.note("wait", self)
                self.waits_for.append(other)

            def synchronize(self):
                fake.synchronize()

        class Event:
            def __init__(self, blocking=False):
                pass

            def record(self, stream):
                fake.note("record", stream)

            def synchronize(self):
                fake.synchronize()

        class CUDAGraph:
            calls = ()

            def replay(self):
                fake.note("replay", fake.stream)
                for function, arguments, options, result in self.calls:
                    again = function(*arguments, **options)
                    for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                        if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                            old.copy_(new)

        class Recorder(TorchDispatchMode):
            def __init__(self):
                super().__init__()
                self.calls = []

            def __torch_dispatch__(self, function, types, arguments=(), options=None):
                if function.name().split(".")[0] in WAITS:
                    raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing")
                result = function(*arguments, **(options or {}))
                self.calls.append((function, arguments, options or {}, result))
                return result

        @contextmanager
        def graph(captured, pool=None, stream=None, capture_error_mode="global"):
            stream = stream or Stream()  # as torch has it: the one capture stream is on the current device
            fake.note("capture", stream)
            fake.captures.append((capture_error_mode, pool, stream))
            assert all(lock._is_owned() for lock in fake.holding), "a capture without its lock"
            if fake.fails and (failure := fake.fails.pop(0)):
                raise failure
            recorder = Recorder()
            with fake.on(stream.device_index, stream), recorder:
                yield
            if stream.device_index == fake.here.tensors:
                captured.calls = recorder.calls

        @contextmanager
        def on_stream(stream):
            with fake.on(stream.device_index, stream):
                yield

        @contextmanager
        def on_device(device):
            with fake.on(torch.device(device).index, fake.stream):
                yield

        self.captures = []
        self.pools = 0
        properties = {
            "is_available": lambda: driver,
            "device_count": lambda: count,
            "get_device_capability": lambda device=None: capability,
            "get_device_name": lambda device=None: "a fake card",
            "get_arch_list": lambda: ["sm_75", "sm_80", "sm_90", "compute_120"],
            "memory_allocated": lambda device=None: 0,
            "memory_reserved": lambda device=None: 0,
            "empty_cache": lambda: fake.note("empty_cache", None),
            "synchronize": lambda device=None: fake.synchronize(),
            "current_stream": lambda device=None: fake.stream,
            "graph_pool_handle": fake.new_pool,
            "Stream": Stream,
            "Event": Event,
            "CUDAGraph": CUDAGraph,
            "graph": graph,
            "stream": on_stream,
            "device": on_device,
        }
        for name, value in properties.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.Tensor, "to", to)
        for name, plain in (("zeros", zeros), ("empty", empty)):
            monkeypatch.setattr(torch, name, lambda *a, plain=plain, pin_memory=False, **o: plain(*a, **o))
        self.default = Stream(torch.device("cuda", 0))

    @property
    def current(self):
        return getattr(self.here, "device", 0)

    @property
    def stream(self):
        return getattr(self.here, "stream", self.default)

    def new_pool(self):
        self.pools += 1
        return self.pools

    def note(self, what, stream):
        self.log.append((what, stream, threading.get_ident()))

    def synchronize(self):
        self.note("synchronize", None)
        if not self.alive:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    @contextmanager
    def on(self, device, stream):
        before = self.current, self.stream
        self.here.device, self.here.stream = device, stream
        try:
            yield
        finally:
            self.here.device, self.here.stream = before

"""What else one would run the network in: ONNX Runtime and OpenVINO, on a processor, where they are installed.

Each has the file that `dmsr convert` writes, and a process of its own, which stands still between its turns: threads
that spin while they wait for work would take the others' time. Knows nothing of pictures: tiles in, tiles out.
"""

import functools
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import networks
from model.inference.onnx_export import ExportError, export_onnx
from model.inference.tiling import Pixels

Floats = NDArray[np.float32]
"""Tiles as the exported network has them: (n, 3, tile, tile) in [0, 1]."""


@contextmanager
def engines(name: str) -> Iterator[dict[str, Callable[[Pixels], Pixels]]]:
    """Yield what runs tiles of a network, by name, in each engine; those that are missing are told and left out."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = {}
        for engine in LOADERS:
            if find_spec(engine) is None:
                _say(f"{engine} is not installed, so its rows are left out: pip install {engine}")
                continue
            path = Path(folder) / "network.onnx"
            try:
                if not path.exists():
                    export_onnx(*networks.build(name), path)
            except ExportError as error:
                _say(f"{error}; the other engines' rows are left out")
                break
            running[engine] = stack.enter_context(_process(engine, path))
        yield running


@contextmanager
def _process(engine: str, path: Path) -> Iterator[Callable[[Pixels], Pixels]]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        process = pool.submit(os.getpid).result()

        def run(tiles: Pixels) -> Pixels:
            os.kill(process, signal.SIGCONT)
            try:
                return pool.submit(_run, engine, str(path), tiles).result()
            finally:
                os.kill(process, signal.SIGSTOP)

        try:
            yield run
        finally:
            os.kill(process, signal.SIGCONT)  # or it could not end


def _run(engine: str, path: str, tiles: Pixels) -> Pixels:
    restored = _loaded(engine, path)(tiles.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    return (restored.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)


@functools.cache
def _loaded(engine: str, path: str) -> Callable[[Floats], Floats]:
    return LOADERS[engine](path)


def _load_onnxruntime(path: str) -> Callable[[Floats], Floats]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda tiles: session.run(["restored"], {"tiles": tiles})[0]


def _load_openvino(path: str) -> Callable[[Floats], Floats]:
    """Load as its docs advise for throughput: one tile a request, several requests at a time."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    requests = openvino.AsyncInferQueue(compiled)

    def run(tiles: Floats) -> Floats:
        restored = np.empty_like(tiles)

        def keep(request: openvino.InferRequest, index: int) -> None:
            restored[index] = request.get_output_tensor(0).data[0]

        requests.set_callback(keep)
        for index in range(len(tiles)):
            requests.start_async({0: tiles[index : index + 1]}, index)
        requests.wait_all()
        return restored

    return run


LOADERS: dict[str, Callable[[str], Callable[[Floats], Floats]]] = {
    "onnxruntime": _load_onnxruntime,
    "openvino": _load_openvino,
}


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command's output

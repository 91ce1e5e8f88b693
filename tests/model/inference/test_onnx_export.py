"""What other runtimes get is the same network, to rounding."""

import builtins
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from model.checkpoints.checkpoint import CheckpointInfo, load_checkpoint
from model.inference import onnx_export
from model.inference.onnx_export import FourierByMatrices, export_onnx
from model.network.frequency import FourierUnit

pytestmark = pytest.mark.timeout(400)  # the exporter takes its time, and more on a busy machine

PAGE = Path(__file__).parents[3] / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def exported(tiny_weights, tmp_path_factory):
    """The tiny network and its ONNX file."""
    network, info = load_checkpoint(tiny_weights)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(network, info, path)
    return network, info, path


@pytest.mark.parametrize("count", [1, 3])
def test_the_file_computes_what_the_network_does(exported, count):
    """For any number of tiles, and values out of range cut off."""
    network, info, path = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tiles = np.random.default_rng(count).random((count, 3, info.tile, info.tile), np.float32)
    (ours,) = session.run(["restored"], {"tiles": tiles})
    with torch.inference_mode():
        wanted = network(torch.from_numpy(tiles))[0].clamp(0, 1).numpy()
    assert ours.shape == tiles.shape
    assert np.abs(ours - wanted).max() < 1e-3
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_the_file_says_what_it_is(exported):
    _, info, path = exported
    model = onnx.load(path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert CheckpointInfo.from_metadata(properties) == info
    assert [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] == [onnx_export.OPSET]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (16, 4)])
def test_the_matrices_do_as_the_transform(height, width):
    torch.manual_seed(0)
    unit = FourierUnit(4).eval()
    unit.norm.running_mean.normal_()
    x = torch.randn(2, 4, height, width)
    with torch.inference_mode():
        torch.testing.assert_close(FourierByMatrices(unit, height, width)(x), unit(x), atol=1e-5, rtol=1e-4)


def test_a_missing_package_is_named_with_its_remedy(exported, monkeypatch, tmp_path):
    network, info, _ = exported
    really_import = builtins.__import__

    def without_onnx(name, *arguments):
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return really_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(onnx_export.ExportError, match=r"onnx is missing; install it with: pip install"):
        export_onnx(network, info, tmp_path / "m.onnx")


def test_the_example_of_the_page_runs(exported, monkeypatch, tmp_path):
    """The code of docs/onnx.md, on a picture drawn here, gives what the Restorer gives."""
    from PIL import Image

    from model.inference.restorer import Restorer
    from model.inference.runner import TileRunner

    network, info, path = exported
    y, x = np.mgrid[:100, :150]
    rgb = np.stack([60 + x, 40 + y, 100 + x // 3], -1).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "rainy.png")
    (tmp_path / "derain.onnx").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, PAGE, "exec"), {})
    ours = np.asarray(Image.open("clean.png")).astype(int)
    wanted = Restorer(TileRunner(network, info, "cpu", "fp32")).restore(rgb)
    assert np.abs(ours - wanted).max() <= 1

import pytest
import torch

from model.inference import devices
from model.inference.devices import cuda_hindrance, description, driver_version, resolve_device, runs_on
from tests.model.inference.fake_cuda import FakeCuda

KERNEL = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (builder)\nGCC version: 12\n"
)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A machine with an old driver."""
    file = tmp_path / "version"
    file.write_text(KERNEL)
    monkeypatch.setattr(devices, "DRIVER_FILE", file)


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((7, 5), True),
        ((8, 0), True),
        ((8, 6), True),
        ((9, 0), True),
        ((10, 3), False),
        ((12, 1), True),
        ((7, 0), False),
    ],
)
def test_code_runs_on_its_own_generation_and_can_be_compiled_for_newer_ones(capability, runs):
    assert runs_on(["sm_75", "sm_80", "sm_90", "compute_120"], capability) is runs


def test_code_with_a_letter_runs_on_one_architecture():
    assert runs_on(["sm_90a"], (9, 0))
    assert not runs_on(["sm_100a"], (10, 3))


def test_a_card_that_is_too_old_is_named_with_what_the_wheel_has(monkeypatch):
    FakeCuda(monkeypatch, capability=(6, 1))
    with pytest.raises(ValueError, match=r"a fake card has capability 6\.1, and PyTorch .* has code for sm_75, sm_80"):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")


def test_an_old_driver_is_named_with_what_is_needed(monkeypatch, driver):
    FakeCuda(monkeypatch, driver=False)
    with pytest.raises(ValueError, match=r"driver for CUDA 13\.0, and finds NVIDIA's driver 550\.54\.15"):
        resolve_device("cuda")


def test_a_machine_without_driver_is_told_apart(monkeypatch, tmp_path):
    FakeCuda(monkeypatch, driver=False)
    monkeypatch.setattr(devices, "DRIVER_FILE", tmp_path / "missing")
    assert "finds no driver of NVIDIA's" in cuda_hindrance()


def test_a_build_without_cuda_is_told_apart(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ValueError, match="build without CUDA"):
        resolve_device("cuda")


def test_a_device_that_is_not_there_is_counted(monkeypatch):
    FakeCuda(monkeypatch, count=2)
    with pytest.raises(ValueError, match="PyTorch sees 2 CUDA devices"):
        resolve_device("cuda:2")


def test_one_device_has_one_name(monkeypatch):
    """Graphs, streams and metrics are kept by it."""
    FakeCuda(monkeypatch)
    assert {resolve_device(name) for name in ("auto", "cuda", "cuda:0")} == {torch.device("cuda:0")}


def test_a_device_is_described(monkeypatch, driver):
    FakeCuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("P", (), {"total_memory": 141 * 10**9}))
    assert description(torch.device("cuda:1")) == {
        "device": "cuda:1",
        "name": "a fake card",
        "capability": "9.0",
        "memory_gigabytes": 141.0,
        "driver": "550.54.15",
        "cuda": "13.0",
    }
    assert driver_version() == "550.54.15"
    assert description(torch.device("cpu")) == {"device": "cpu"}

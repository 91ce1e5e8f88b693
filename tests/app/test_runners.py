"""What the start says of the devices it has, lacks or cannot use."""

import pytest
import torch
from structlog.testing import capture_logs

from app.errors import StartError
from app.runners import load_runners
from app.settings import Settings, WeightsSettings
from model.inference import cuda_graphs, devices
from tests.model.inference.fake_cuda import FakeCuda


@pytest.fixture
def settings(tiny_weights):
    def make(names):
        return Settings(devices=names, weights=WeightsSettings(derain=tiny_weights, dehaze="off"))

    return make


@pytest.fixture
def old_driver(tmp_path, monkeypatch):
    FakeCuda(monkeypatch, driver=False)
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Release Build\n")
    monkeypatch.setattr(devices, "DRIVER_FILE", file)


def test_a_driver_that_is_too_old_ends_the_start_and_says_what_is_needed(settings, old_driver):
    with pytest.raises(StartError, match=r"DMSR_DEVICES=cuda: .* needs a driver for CUDA 13\.0, .* driver 550\.54\.15"):
        load_runners(settings("cuda"))


def test_the_cpu_in_place_of_a_gpu_is_a_warning(settings, old_driver):
    with capture_logs() as lines:
        (runners,) = load_runners(settings("auto")).values()
    assert runners["derain"].device == torch.device("cpu")
    (warning,) = (line for line in lines if line["log_level"] == "warning" and "GPU" in line["event"])
    assert "550.54.15" in warning["cause"]


def test_without_a_driver_there_is_nothing_to_warn_of(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "DRIVER_FILE", tmp_path / "missing")
    with capture_logs() as lines:
        load_runners(settings("auto"))
    assert not [line for line in lines if "GPU" in line["event"]]


def test_the_start_says_what_it_found(settings, monkeypatch):
    FakeCuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("P", (), {"total_memory": 141 * 10**9}))
    cuda_graphs.card.cache_clear()
    with capture_logs() as lines:
        runners = load_runners(settings("cuda:0,cuda:1"))
    assert runners.keys() == {"cuda:0", "cuda:1"}
    found = [line for line in lines if line["event"] == "device"]
    assert [line["device"] for line in found] == ["cuda:0", "cuda:1"]
    assert {(line["name"], line["capability"], line["memory_gigabytes"], line["cuda"]) for line in found} == {
        ("a fake card", "9.0", 141.0, "13.0")
    }
    cuda_graphs.card.cache_clear()

import pytest
import torch
from safetensors.torch import save_file

from model.checkpoints.checkpoint import (
    CheckpointInfo,
    WeightsError,
    file_sha256,
    load_checkpoint,
    read_info,
    save_checkpoint,
)
from model.network.config import DMSRConfig
from model.network.network import DMSR


@pytest.fixture
def info(tiny_config):
    return CheckpointInfo(
        tiny_config, "dehaze", tile=192, overlap=32, training={"steps": 3}, scores={"Rain12": {"psnr_y": 33.5}}
    )


@pytest.fixture
def state_dict(tiny_config):
    return DMSR(tiny_config).state_dict()


def test_what_is_saved_is_loaded(tmp_path, info, state_dict):
    sha256 = save_checkpoint(tmp_path / "w.safetensors", state_dict, info)
    network, loaded = load_checkpoint(tmp_path / "w.safetensors", sha256)
    assert loaded == info == read_info(tmp_path / "w.safetensors")
    assert file_sha256(tmp_path / "w.safetensors") == sha256
    assert all(torch.equal(value, state_dict[key]) for key, value in network.state_dict().items())
    assert not network.training


def test_half_size_files_load_as_float32(tmp_path, info, state_dict):
    halved = {key: value.bfloat16() if value.is_floating_point() else value for key, value in state_dict.items()}
    save_checkpoint(tmp_path / "w.safetensors", halved, info)
    network, _ = load_checkpoint(tmp_path / "w.safetensors")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_a_truncated_file_is_one_clear_error(tmp_path, info, state_dict):
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, state_dict, info)
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"w\.safetensors"):
            load_checkpoint(path)


def test_a_changed_file_fails_its_sha256(tmp_path, info, state_dict):
    path = tmp_path / "w.safetensors"
    sha256 = save_checkpoint(path, state_dict, info)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged or exchanged"):
        load_checkpoint(path, sha256)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"absent\.safetensors cannot be read: No such file"):
        load_checkpoint(tmp_path / "absent.safetensors")


def test_a_directory_is_named(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="dmsr convert"):
        load_checkpoint(tmp_path / "w.safetensors")


def test_tensors_must_fit_the_sizes(tmp_path, info, state_dict):
    path = tmp_path / "w.safetensors"
    other = DMSR(DMSRConfig(8, 1)).state_dict()
    save_checkpoint(path, other, info)
    with pytest.raises(WeightsError, match="has shape"):
        load_checkpoint(path)
    save_checkpoint(path, {k: v for k, v in state_dict.items() if k != "out_full.bias"}, info)
    with pytest.raises(WeightsError, match=r"lacks the tensor 'out_full\.bias'"):
        load_checkpoint(path)
    save_checkpoint(path, state_dict | {"extra": torch.zeros(1)}, info)
    with pytest.raises(WeightsError, match=r"unknown to .*'extra'"):
        load_checkpoint(path)


def test_values_that_are_not_finite_are_refused(tmp_path, info, state_dict):
    state_dict["out_full.bias"][0] = float("nan")
    save_checkpoint(tmp_path / "w.safetensors", state_dict, info)
    with pytest.raises(WeightsError, match=r"'out_full\.bias' holds values that are not finite"):
        load_checkpoint(tmp_path / "w.safetensors")


def test_a_failed_write_leaves_the_old_file(tmp_path, info, state_dict, monkeypatch):
    """A crash before the rename leaves the old bytes and no litter."""
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, state_dict, info)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("model.checkpoints.checkpoint.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, DMSR(info.config).state_dict(), info)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    ("field", "value"), [("task", "desnow"), ("tile", 100), ("tile", 48), ("overlap", 50), ("overlap", -1)]
)
def test_impossible_infos_are_refused(tiny_config, field, value):
    with pytest.raises(ValueError, match=f"{field} is"):
        CheckpointInfo(tiny_config, **({"task": "derain"} | {field: value}))

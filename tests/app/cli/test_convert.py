import torch
from typer.testing import CliRunner

from app.cli.main import app
from model.checkpoints.checkpoint import load_checkpoint, read_info
from model.checkpoints.conversion import to_authors
from model.network.config import DMSRConfig
from model.network.network import DMSR


def convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_the_authors_file_becomes_ours_and_theirs_again(tmp_path):
    theirs = to_authors(DMSR(DMSRConfig(8, 2)).state_dict())
    torch.save({"epoch": 3, "state_dict": theirs}, tmp_path / "a.pth")
    ended = convert(tmp_path / "a.pth", tmp_path / "b.safetensors", "--task", "dehaze", "--tile", "256")
    assert ended.exit_code == 0, ended.output
    info = read_info(tmp_path / "b.safetensors")
    assert (info.config, info.task, info.tile) == (DMSRConfig(8, 2), "dehaze", 256)
    load_checkpoint(tmp_path / "b.safetensors")

    assert convert(tmp_path / "b.safetensors", tmp_path / "c.pth", "--to", "authors").exit_code == 0
    again = torch.load(tmp_path / "c.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(again[key], value) for key, value in theirs.items() if "conv_mid" not in key)


def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"nonsense")
    ended = convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert ended.exit_code == 2
    assert ended.output.startswith("dmsr: ")
    assert "a.pth" in ended.output
    assert not (tmp_path / "b.safetensors").exists()


def test_a_missing_file_is_one_line(tmp_path):
    ended = convert(tmp_path / "none.pth", tmp_path / "b.safetensors")
    assert ended.exit_code == 2
    assert "none.pth" in ended.output

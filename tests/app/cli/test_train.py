import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from app.cli.train import train
from model.checkpoints.checkpoint import load_checkpoint

RECIPE = """
task = "derain"
steps = {steps}
tile = 64
overlap = 16
calibration_crops = 4
[network]
width = 4
depth = 1
[[phase]]
crop = 64
batch = 1
[[source]]
kind = "rain"
path = "photos"
share = 1
[[validation]]
name = "photos"
kind = "rain"
path = "photos"
"""


@pytest.fixture
def data(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)).save(
        tmp_path / "photos" / "a.png"
    )
    return tmp_path


def words(data, steps, *more):
    (data / "recipe.toml").write_text(RECIPE.format(steps=steps))
    return [
        str(word) for word in (data / "recipe.toml", "--data", data, "--run", data / "run", "--device", "cpu", *more)
    ]


def dmsr(arguments):
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, arguments)


def test_pictures_smaller_than_a_crop_are_told(data):
    Image.fromarray(np.zeros((63, 80, 3), np.uint8)).save(data / "photos" / "small.png")
    result = dmsr(words(data, 1))
    assert result.exit_code == 0, result.output
    assert "rain photos: 1 of 2 pictures left out, smaller than 64 × 64" in result.output


def test_a_run_ends_with_weights_that_can_be_served(data):
    result = dmsr(words(data, 3))
    assert result.exit_code == 0, result.output
    assert "step 3 (100.0%" in result.output
    assert "validation photos" in result.output
    _, info = load_checkpoint(data / "run" / "best.safetensors")
    assert (info.task, info.tile, info.overlap, info.training["step"]) == ("derain", 64, 16, 3)


def test_what_cannot_be_trained_is_told_in_one_line(data):
    for arguments, message in (
        (words(data, 3, "--init", "nowhere.safetensors"), "nowhere.safetensors"),
        (["nothing.toml", *words(data, 3)[1:]], "nothing.toml cannot be read"),
        ([words(data, 3)[0], "--data", str(data / "photos"), "--run", str(data)], "holds no pictures"),
    ):
        result = dmsr(arguments)
        assert result.exit_code == 2
        assert message in result.output


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(data, number):
    """A real process and a real signal, sent once the first step is reported."""
    program = "import typer; from app.cli.train import train; typer.run(train)"
    command = [sys.executable, "-u", "-c", program, *words(data, 10**6)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("step 1 ")
        process.send_signal(number)
        said = process.stdout.read()
    assert process.returncode == 0
    assert "stopped and saved at step" in said
    step = int(said.split("saved at step ")[1].split(";")[0])
    assert (data / "run" / "state.safetensors").exists()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip().endswith(f"going on from step {step}")
        process.stdout.readline()
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == 0

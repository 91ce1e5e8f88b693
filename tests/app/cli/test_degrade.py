import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from app.cli.degrade import degrade


@pytest.fixture
def dmsr():
    app = typer.Typer()
    app.command()(degrade)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(folder / f"{name}.jpg")
    return folder


@pytest.mark.parametrize("weather", ["rain", "haze"])
def test_a_folder_is_degraded_and_the_same_seed_gives_the_same_files(dmsr, photos, tmp_path, weather):
    for out, seed in (("one", 4), ("two", 4), ("three", 5)):
        assert dmsr(weather, photos, "-o", tmp_path / out, "--seed", seed).exit_code == 0
    one, two, three = (
        [(tmp_path / out / f"{name}.png").read_bytes() for name in "ab"] for out in ("one", "two", "three")
    )
    assert one == two
    assert one != three
    assert one[0] != one[1]
    assert Image.open(tmp_path / "one" / "a.png").size == (70, 50)


def test_one_picture_gets_the_weather_it_has_in_its_folder(dmsr, photos, tmp_path):
    dmsr("rain", photos, "-o", tmp_path / "all")
    dmsr("rain", photos / "b.jpg", "-o", tmp_path / "single")
    assert (tmp_path / "single" / "b.png").read_bytes() == (tmp_path / "all" / "b.png").read_bytes()


def test_unreadable_pictures_are_named_and_the_others_done(dmsr, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"nothing")
    result = dmsr("rain", photos, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "broken.png" in result.output
    assert (tmp_path / "out" / "a.png").exists()


def test_an_empty_folder_is_told(dmsr, tmp_path):
    result = dmsr("haze", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "holds no pictures" in result.output

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


@pytest.mark.parametrize("weather", ["rain", "downpour", "camera-rain", "haze", "scene-haze"])
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


def test_no_picture_is_lost(dmsr, photos, tmp_path):
    """Neither an original, nor a file that is there, nor one of two results of one name."""
    Image.new("RGB", (50, 50)).save(photos / "c.png")
    before = (photos / "c.png").read_bytes()
    assert "is an original" in dmsr("rain", photos, "-o", photos).output
    Image.new("RGB", (50, 50)).save(photos / "a.webp")
    assert "would both become" in dmsr("rain", photos, "-o", tmp_path / "out").output
    (photos / "a.webp").unlink()
    assert dmsr("rain", photos, "-o", tmp_path / "out").exit_code == 0
    again = dmsr("rain", photos, "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert "there already; --overwrite replaces" in again.output
    assert dmsr("rain", photos, "-o", tmp_path / "out", "--overwrite").exit_code == 0
    both = dmsr("camera-rain", photos, "-o", tmp_path / "both", "--target", tmp_path / "both")
    assert "one folder" in both.output
    assert (photos / "c.png").read_bytes() == before


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


def test_camera_rain_has_the_scales_asked_for(dmsr, photos, tmp_path):
    """Two rains in one picture are more than one, and wider drops are other ones."""
    for out, scales in (("narrow", (1.5,)), ("wide", (12,)), ("both", (1.5, 12))):
        words = [word for scale in scales for word in ("--scale", scale)]
        assert dmsr("camera-rain", photos, "-o", tmp_path / out, *words).exit_code == 0
    narrow, wide, both = ((tmp_path / out / "a.png").read_bytes() for out in ("narrow", "wide", "both"))
    assert len({narrow, wide, both}) == 3


def test_the_target_of_camera_rain_is_the_dry_picture_of_the_same_camera(dmsr, photos, tmp_path):
    """What both lack is no rain: with JPEG and noise the target is no longer the photo."""
    result = dmsr("camera-rain", photos, "-o", tmp_path / "input", "--target", tmp_path / "target")
    assert result.exit_code == 0, result.output
    photo = np.asarray(Image.open(photos / "a.jpg"))
    dry = [np.asarray(Image.open(tmp_path / "target" / f"{name}.png")) for name in "ab"]
    assert dry[0].shape == photo.shape
    assert any(not np.array_equal(one, photo) for one in dry)


@pytest.mark.parametrize("words", [("--scale", 3), ("--target", "dry")])
def test_options_of_camera_rain_are_refused_elsewhere(dmsr, photos, tmp_path, words):
    result = dmsr("haze", photos, "-o", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert "belong to camera-rain" in result.output

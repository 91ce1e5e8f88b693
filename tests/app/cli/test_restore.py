"""`dmsr restore`, as a person runs it."""

import os
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli.main import app
from app.cli.targets import Plan
from model import Restorer
from tests.pictures import drawn, encoded


@pytest.fixture
def dmsr(tiny_weights):
    """Run the verb with the tiny weights; stderr and stdout come back together."""

    def run(*arguments):
        return CliRunner().invoke(app, ["restore", "--weights", str(tiny_weights), *map(str, arguments)])

    return run


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(drawn(90, 130)))
    return path


def test_one_file_to_one_file(dmsr, photo, tmp_path, tiny_weights):
    ended = dmsr(photo, "-o", tmp_path / "out.png")
    assert ended.exit_code == 0, ended.output
    restored = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(restored, Restorer.load(tiny_weights).restore(drawn(90, 130)))


def test_tiles_that_came_out_as_noise_are_told(photo, tmp_path, noisy_weights):
    """They are left as they were: nobody gets noise."""
    command = ["restore", str(photo), "--weights", str(noisy_weights), "-o", str(tmp_path / "out.png"), "--scale", "1"]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 0, ended.output
    assert "6 of 6 tiles came out of the network as noise and were left as they were." in ended.output
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), drawn(90, 130))


def test_the_suffix_of_out_is_the_format(dmsr, photo, tmp_path):
    assert dmsr(photo, "-o", tmp_path / "out.jpg").exit_code == 0
    assert Image.open(tmp_path / "out.jpg").format == "JPEG"


def test_a_folder_keeps_its_tree(dmsr, tmp_path):
    inputs = tmp_path / "in"
    (inputs / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        (inputs / name).write_bytes(encoded(drawn(64, 64)))
    (inputs / "notes.txt").write_text("not a picture")
    ended = dmsr(inputs, "-o", tmp_path / "out")
    assert ended.exit_code == 0
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")) == [
        "a.png",
        "deep/b.png",
    ]


def test_one_failure_does_not_stop_the_rest_and_is_told(dmsr, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    ended = dmsr(broken, photo, tmp_path / "absent.png", "-o", tmp_path / "out")
    assert ended.exit_code == 1
    assert (tmp_path / "out" / "photo.png").exists()
    assert not (tmp_path / "out" / "broken.png").exists()
    assert "broken.png" in ended.output
    assert "No such file" in ended.output


def test_resume_leaves_out_what_is_done(dmsr, tmp_path):
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    out.mkdir()
    for name in ("a.png", "b.png"):
        (inputs / name).write_bytes(encoded(drawn(64, 64)))
    (out / "a.png").write_bytes(b"kept")
    os.utime(out / "a.png", ns=((inputs / "a.png").stat().st_mtime_ns,) * 2)
    assert dmsr(inputs, "-o", out, "--resume").exit_code == 0
    assert (out / "a.png").read_bytes() == b"kept"
    assert (out / "b.png").read_bytes().startswith(b"\x89PNG")


def test_a_result_of_another_picture_is_no_reason_to_leave_one_out(dmsr, photo, tmp_path):
    """It stays, both are named, the others are made, and the exit code tells."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "photo.png").write_bytes(b"another's")
    os.utime(tmp_path / "out" / "photo.png", (0, 0))
    ended = dmsr(tmp_path, "-o", tmp_path / "out", "--resume")
    assert ended.exit_code == 1
    assert f"{photo}: {tmp_path / 'out' / 'photo.png'} is there and has another time" in ended.output
    assert (tmp_path / "out" / "photo.png").read_bytes() == b"another's"


def test_the_longest_name_there_can_be_is_no_hindrance(dmsr, photo, tmp_path):
    longest = photo.rename(tmp_path / ("x" * 251 + ".png"))
    assert dmsr(longest, "-o", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / longest.name).exists()


def test_a_result_never_replaces_one_of_the_same_run(dmsr, photo, tmp_path, monkeypatch):
    """A disk that does not know capitals makes one file of two targets, which --overwrite must not lose."""
    other = tmp_path / "other.png"
    other.write_bytes(encoded(drawn(64, 64)))
    one = tmp_path / "out" / "a.png"
    pairs = [(photo, one), (other, tmp_path / "out" / ".." / "out" / "a.png")]
    monkeypatch.setattr("app.cli.restore.plan", lambda *_, **__: Plan(pairs))
    ended = dmsr(photo, other, "-o", tmp_path / "out", "--overwrite")
    assert (ended.exit_code, Image.open(one).size) == (1, (130, 90))


def test_a_dash_is_stdin_and_stdout(tiny_weights):
    """Nothing but the picture comes out of stdout, so that it can be piped on."""
    arguments = ["restore", "-", "-o", "-", "--weights", str(tiny_weights)]
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], input=encoded(drawn(70, 80)), capture_output=True, check=True
    )
    restored = np.asarray(Image.open(BytesIO(ended.stdout)))
    expected = Restorer.load(tiny_weights).restore(drawn(70, 80))
    assert np.abs(restored.astype(int) - expected).max() <= 1  # another process may use more threads
    assert ended.stderr == b""


def test_a_dash_stands_for_one_picture(dmsr, photo):
    ended = dmsr(photo, photo, "-o", "-")
    assert ended.exit_code == 2
    assert "one PATH" in ended.output


def test_reference_tiling_and_fp32_can_be_asked_for(dmsr, photo, tmp_path, tiny_weights):
    assert dmsr(photo, "-o", tmp_path / "out.png", "--tiling", "reference", "--precision", "fp32").exit_code == 0
    expected = Restorer.load(tiny_weights, tiling="reference").restore(drawn(90, 130))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "tpu"], "tpu"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--tiling", "mosaic"], "mosaic"),
    ],
)
def test_bad_arguments_are_named(dmsr, photo, tmp_path, arguments, words):
    ended = dmsr(photo, "-o", tmp_path / "out.png", *arguments)
    assert ended.exit_code == 2
    assert words in ended.output


def test_an_empty_folder_is_said(dmsr, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = dmsr(tmp_path / "empty", "-o", tmp_path / "out")
    assert ended.exit_code == 2
    assert "no pictures" in ended.output


def test_a_suffix_nobody_writes_is_said(dmsr, photo, tmp_path):
    ended = dmsr(photo, "-o", tmp_path / "out.bmp")
    assert ended.exit_code == 2
    assert ".bmp cannot be written" in ended.output


def test_in_a_folder_what_cannot_be_written_becomes_png(dmsr, tmp_path):
    (tmp_path / "photo.bmp").write_bytes(encoded(drawn(64, 64), "bmp"))
    assert dmsr(tmp_path / "photo.bmp", "-o", tmp_path / "out").exit_code == 0
    assert Image.open(tmp_path / "out" / "photo.png").format == "PNG"


def test_nothing_is_overwritten_unasked(dmsr, photo, tmp_path):
    """Neither the original nor an earlier result, and the refusal comes before the network is loaded."""
    before = photo.read_bytes()
    for out in (photo, tmp_path):
        ended = dmsr(photo, "-o", out, "--weights", "nowhere.safetensors")
        assert ended.exit_code == 2
        assert "original" in ended.output
    assert photo.read_bytes() == before
    assert dmsr(tmp_path, "-o", tmp_path, "--overwrite").exit_code == 0
    assert photo.read_bytes() != before


def test_results_keep_the_time_of_their_picture(dmsr, photo, tmp_path):
    os.utime(photo, (1_500_000_000, 1_400_000_000.25))
    assert dmsr(photo, "-o", tmp_path / "out.png").exit_code == 0
    assert (tmp_path / "out.png").stat().st_mtime == 1_400_000_000.25


@pytest.mark.parametrize(
    ("umask", "source", "want"), [(0o022, 0o644, 0o644), (0o022, 0o600, 0o600), (0o077, 0o666, 0o600)]
)
def test_results_have_the_rights_of_their_picture_less_the_umask(dmsr, photo, tmp_path, umask, source, want):
    photo.chmod(source)
    before = os.umask(umask)
    try:
        assert dmsr(photo, "-o", tmp_path / "out.png").exit_code == 0
    finally:
        os.umask(before)
    assert (tmp_path / "out.png").stat().st_mode & 0o777 == want


def test_format_quality_and_metadata_can_be_asked_for(dmsr, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Rainmaker"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.png").write_bytes(encoded(drawn(90, 130), exif=exif))
    for name, more in (("fine", ["--quality", "95"]), ("coarse", ["--quality", "20", "--metadata", "strip"])):
        assert dmsr(tmp_path / "in", "--output", tmp_path / name, "--format", "jpg", *more).exit_code == 0
    fine, coarse = ((tmp_path / name / "photo.jpg").read_bytes() for name in ("fine", "coarse"))
    assert len(fine) > 2 * len(coarse)
    assert (b"Rainmaker" in fine, b"Rainmaker" in coarse) == (True, False)


def test_names_are_printed_as_they_are(dmsr, tmp_path):
    odd = tmp_path / "in" / "x [/b] y"
    odd.mkdir(parents=True)
    (odd / "IMG [final]\x1b[31m.jpg").write_bytes(encoded(drawn(64, 64), "jpeg")[:300])
    ended = dmsr(tmp_path / "in", "-o", tmp_path / "out")
    assert ended.exit_code == 1
    assert "x [/b] y/IMG [final]\\x1b[31m.jpg: " in ended.output
    assert "\x1b" not in ended.output


def test_what_was_passed_over_is_counted_and_named(dmsr, photo, tmp_path):
    for name in ("._photo.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    ended = dmsr(tmp_path, "-o", tmp_path / "out")
    assert ended.exit_code == 0
    assert "passed over 2" in ended.output
    assert "._photo.png" in ended.output
    assert "notes.txt" in ended.output


def test_one_picture_is_one_line_and_many_are_a_count(dmsr, photo, tmp_path):
    one = dmsr(photo, "-o", tmp_path / "out.png")
    assert one.output.count("\n") == 1
    assert f"{photo} → {tmp_path / 'out.png'}: 0.01 megapixels in " in one.output
    many = dmsr(photo, tmp_path / "absent.png", "-o", tmp_path / "out")
    assert "restored 1, failed 1" in many.output


def test_scale_and_strength_reach_the_restorer(dmsr, photo, tmp_path, tiny_weights):
    ended = dmsr(photo, "-o", tmp_path / "out.png", "--scale", "0.5", "--strength", "0.5")
    assert ended.exit_code == 0, ended.output
    restored = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(restored, Restorer.load(tiny_weights).restore(drawn(90, 130), scale=0.5, strength=0.5))

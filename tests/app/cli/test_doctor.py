from typer.testing import CliRunner

from app.cli.main import app


def test_it_says_what_this_machine_would_do(tiny_weights):
    ended = CliRunner().invoke(app, ["doctor", "--device", "cpu", "--weights", str(tiny_weights)])
    assert ended.exit_code == 0, ended.output
    for word in ("cpu", "derain", "sha256", "tiles a second", "1080p", "GiB free", "GiB at the most"):
        assert word in ended.output


def test_what_is_wrong_is_one_line():
    ended = CliRunner().invoke(app, ["doctor", "--device", "cuda:9"])
    assert ended.exit_code == 2
    assert ended.output.startswith("dmsr: device is 'cuda:9'")

"""`dmsr serve` says at once, in one line, why it cannot."""

import socket

import pytest
from typer.testing import CliRunner

from app.cli.main import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "nowhere.invalid"], "nowhere.invalid:8000"),
        (["--port", "{taken}"], "{taken}: address already in use; --host and --port choose another"),
        (["--device", "tpu", "--port", "0"], "tpu"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, words):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = str(holder.getsockname()[1])
        ended = CliRunner().invoke(app, ["serve", *(word.format(taken=taken) for word in arguments)])
    assert ended.exit_code == 2
    assert ended.output.startswith("dmsr: ")
    assert words.format(taken=taken) in ended.output
    assert ended.output.count("\n") == 1

"""What docs/api.md shows is run against a real server."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.api.options import Parameters
from tests.pictures import drawn, encoded

DOC = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)


def lines(language):
    return [line for block in blocks(language) for line in block.splitlines()]


@pytest.fixture
def here(tmp_path):
    (tmp_path / "rainy.jpg").write_bytes(encoded(drawn(70, 90), "jpeg"))
    return tmp_path


@pytest.mark.parametrize("command", lines("sh"))
def test_each_command_works(command, server, here):
    arguments = shlex.split(command.replace(ADDRESS, server.url))
    subprocess.run([*arguments, "--silent", "--fail"], cwd=here, check=True, timeout=60, stdout=subprocess.DEVNULL)
    if "-o" in arguments:
        assert (here / arguments[-1]).stat().st_size > 500


@pytest.mark.parametrize("program", blocks("python"))
def test_each_program_works(program, server, here):
    program = program.replace(ADDRESS, server.url)
    ended = subprocess.run([sys.executable, "-c", program], cwd=here, check=True, timeout=60, capture_output=True)
    assert b"/problems/" not in ended.stdout


def test_each_parameter_is_documented_with_all_its_values():
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (.*) \|.*\|$", DOC, re.MULTILINE))
    assert rows.keys() == Parameters.model_fields.keys()
    for name, row in rows.items():
        schema = Parameters.model_json_schema()["properties"][name]
        assert all(f"`{value}`" in row for value in schema.get("enum", []))


def test_a_key_made_as_shown_is_one_the_service_reads(tmp_path):
    from app.middleware.api_keys import read_keys

    (script,) = blocks("text")
    script = script.replace("$ ", "").replace("openssl rand -hex 32", "echo abc")
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, timeout=10)
    assert len(read_keys(tmp_path / "keys")) == 1

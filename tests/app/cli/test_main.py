import subprocess
import sys

from typer.testing import CliRunner

from app.cli.main import app


def test_the_version_is_printed():
    ended = CliRunner().invoke(app, ["--version"])
    assert ended.exit_code == 0
    assert ended.output.startswith("dmsr ")


def test_the_command_line_starts_without_heavy_imports():
    """torch, PIL and the service are imported inside the verbs, which is what keeps `dmsr --version` quick."""
    program = "import sys, app.cli.main; print([m for m in ('torch', 'numpy', 'PIL', 'fastapi') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"

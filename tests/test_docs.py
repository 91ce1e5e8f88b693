"""What the docs promise is run, and what the code has is documented."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.telemetry.metrics import STAGES
from tests.e2e.server import run_server
from tests.pictures import drawn, encoded

ROOT = Path(__file__).parent.parent
SENTENCE = "bytes → probe → admit → decode → survey → queue → cut → device → stitch → merge → encode → bytes"
README = (ROOT / "README.md").read_text()


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(prefix):
    lines = [line for block in blocks(README, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(prefix)]


@pytest.fixture
def here(tmp_path):
    """A folder with the picture and the folder the README speaks of."""
    (tmp_path / "rainy.jpg").write_bytes(encoded(drawn(70, 90), "jpeg"))
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "one.jpg").write_bytes(encoded(drawn(64, 64), "jpeg"))
    return tmp_path


@pytest.mark.parametrize("path", ["README.md", "docs/architecture.md", "app/pipeline.py"])
def test_the_sentence_stands_word_for_word(path):
    assert SENTENCE in (ROOT / path).read_text()


def test_the_stages_are_the_sentence_s_words():
    assert " → ".join(["bytes", *STAGES, "bytes"]) == SENTENCE


@pytest.mark.parametrize("command", commands("curl"))
def test_the_readme_s_curl_works(command, server, here):
    arguments = shlex.split(command.replace("http://127.0.0.1:8000", server.url))
    subprocess.run([*arguments, "--silent"], cwd=here, check=True, timeout=60)
    assert (here / "clean.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", commands(".venv/bin/dmsr"))
def test_the_readme_s_command_line_works(command, here):
    arguments = shlex.split(command)[1:]
    subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], cwd=here, check=True, timeout=100, env={"PYTHONPATH": str(ROOT)}
    )
    assert (here / "clean.jpg").exists() or (here / "restored" / "one.jpg").exists()


@pytest.mark.parametrize("command", commands("cp app/") + commands("mkdir"))
def test_the_readme_s_samples_lie_in_the_repository(command, tmp_path):
    """A stranger has the clone and no photo; the first command makes the picture that the others want."""
    (tmp_path / "app").symlink_to(ROOT / "app")
    if not command.startswith("cp"):
        (tmp_path / "rainy.jpg").write_bytes(encoded(drawn(70, 90), "jpeg"))
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert any(path.read_bytes()[:2] == b"\xff\xd8" for path in tmp_path.rglob("*.jpg"))


def test_no_command_of_the_readme_finds_the_result_of_another_in_its_way():
    """`dmsr restore` overwrites nothing, so a file that curl wrote would stop it."""
    made = [re.search(r"-o (\S+)", command)[1] for command in commands(".venv/bin/dmsr")]
    assert len({*made}) == len(made)
    assert not {*made} & {command.split("-o ")[1] for command in commands("curl")}


def test_make_says_what_it_installs_and_which_tests_it_runs(tmp_path):
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    told = subprocess.run(["make", "-n", "test"], cwd=tmp_path, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert re.search(r"echo .*GB to download", told)
    assert re.search(r"echo .*no GPU", told)


@pytest.mark.parametrize("program", blocks(README, "python"))
def test_the_readme_s_program_works(program, here):
    subprocess.run([sys.executable, "-c", program], cwd=here, check=True, timeout=100, env={"PYTHONPATH": str(ROOT)})
    assert (here / "clean.png").exists()


def test_the_library_page_s_programs_work(here):
    """One after the other, as a reader would paste them."""
    programs = blocks((ROOT / "docs/library.md").read_text(), "python")
    assert len(programs) == 4
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", "\n".join(programs)], cwd=here, check=True, timeout=100, env=environment)
    assert (here / "clean.png").exists()


def test_the_readme_has_something_to_run():
    assert len(commands("curl")) >= 2
    assert len(commands(".venv/bin/dmsr")) >= 2
    assert blocks(README, "python")


@pytest.mark.skipif(not (ROOT / ".venv/dev").exists(), reason="make would install first; `make test` has")
def test_the_readme_s_make_serve_serves(tiny_weights, tmp_path):
    """On a port of its own: rain with the tiniest weights, haze with those that ship."""
    (line,) = commands("make serve")
    command = [*line.split("#")[0].split(), "PORT={port}"]
    with run_server(tmp_path, {"DMSR_WEIGHTS_DERAIN": str(tiny_weights)}, command=command) as server:
        assert "<title>" in httpx.get(server.url).text
        answer = httpx.post(f"{server.url}/dehaze", content=encoded(drawn(150, 150)), timeout=60)
        assert answer.status_code == 200
        assert answer.headers["x-dmsr-weights"].startswith("dehaze-w16d4; ")


def test_make_test_is_what_runs_here():
    """The command cannot run itself; CI runs it, and with it this."""
    assert commands("make test")
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", commands("docker compose"))
def test_the_readme_s_compose_files_are_those_that_the_smoke_test_runs(command):
    """`deploy/smoke` runs them with a real engine, the GPU's with COMPOSE_FILE as its head says."""
    file = re.search(r"-f (\S+)", command)
    assert (file[1] if file else "docker-compose.yml") in (ROOT / "deploy/smoke").read_text()
    assert re.search(r" (up -d --build|ps)\b", command)


def test_every_command_of_the_readme_is_run_by_one_of_these():
    kinds = ("make serve", "make test", "cp .env.example .env", "docker compose", "curl", ".venv/bin/dmsr", "cp app/")
    kinds += ("git clone REPOSITORY dmsr && cd dmsr", "mkdir holiday")
    assert [line for line in commands("") if line and not line.startswith(kinds)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.py")), ids=lambda path: path.name)
def test_the_programs_that_draw_find_what_they_import(path):
    """They run rarely, and import each other."""
    subprocess.run([sys.executable, "-c", f"import {path.stem}"], cwd=path.parent, check=True)


def test_links_between_the_docs_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_files_named_in_the_architecture_exist():
    named = re.findall(r"`((?:app|model|tests)/[\w/.]+\.py)", (ROOT / "docs/architecture.md").read_text())
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]

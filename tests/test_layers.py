"""Imports only go down. Read from the source with ast, so nothing has to be imported to be judged."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up; a module may import its own row and those before it, except where ALONE says otherwise.
MODEL = [
    ["model.network.config", "model.network.convolution", "model.network"],
    ["model.network.spatial", "model.network.frequency"],
    ["model.network.blocks"],
    ["model.network.network"],
    ["model.checkpoints"],
    ["model.inference.tiling", "model.inference.cpu_threads", "model.inference"],
    ["model.inference.onednn", "model.inference.onnx_export"],
    ["model.inference.precision"],
    ["model.inference.cuda_graphs"],
    ["model.inference.merge", "model.inference.survey"],
    ["model.inference.scales"],
    ["model.inference.runner"],
    ["model.inference.restorer", "model"],
    ["model.data"],
    ["model.evaluation"],
    ["model.training"],
]
APP = [
    ["app.errors", "app.settings"],
    ["app.telemetry"],
    ["app.imaging", "app.batching"],
    ["app.codecs"],
    ["app.pipeline"],
    ["app.api", "app.middleware"],
    ["app.runners"],
    ["app.main"],
    ["app.server"],
    ["app.cli"],
]
ALONE = [
    ("app.imaging", "app.batching"),
    ("app.batching", "app.imaging"),
    ("app.codecs", "app.batching"),
]

HOMES = {
    "fastapi": ["app.api", "app.main"],
    "starlette": ["app.api", "app.main", "app.middleware"],
    "uvicorn": ["app.server"],
    "prometheus_client": ["app.telemetry.metrics"],
    "pillow_heif": ["app.imaging.formats.heic"],
    "pillow_jxl": ["app.imaging.formats.jxl"],
    "PIL": [
        "app.imaging",
        "model.data",
        "model.inference.tiling",
        "model.inference.merge",
        "model.inference.scales",
    ],
    "typer": ["app.cli"],
    "rich": ["app.cli"],
    "structlog": [
        "app.telemetry.logs",
        "app.main",
        "app.runners",
        "app.server",
        "app.middleware",
        "app.api",
        "app.codecs",
    ],
    "pydantic_settings": ["app.settings"],
    "safetensors": ["model.checkpoints.checkpoint", "model.training"],
    "ray": [],  # the service runs on it without knowing of it
}


def modules():
    for package in ("app", "model"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(), filename=str(path))


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name, room):
    return name == room or name.startswith(room + ".")


def row(name, rows):
    """Find the row of the most specific room that holds a module."""
    found = [(len(room), index) for index, rooms in enumerate(rows) for room in rooms if within(name, room)]
    return max(found)[1] if found else None


def offences():
    for name, tree in modules():
        rows = APP if within(name, "app") else MODEL
        for target in set(imports(tree)):
            if within(name, "model") and within(target, "app"):
                yield f"{name} imports {target}: model never imports the service"
            elif target.split(".")[0] == name.split(".")[0]:
                mine, its = row(name, rows), row(target, rows)
                if mine is not None and its is not None and its > mine:
                    yield f"{name} imports {target}, which stands above it"
            for one, other in ALONE:
                if within(name, one) and within(target, other):
                    yield f"{name} imports {target}: siblings do not know each other"


def test_imports_only_go_down():
    assert not list(offences())


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_one_home(library):
    strangers = [
        name
        for name, tree in modules()
        if any(within(target, library) for target in imports(tree)) and not any(within(name, h) for h in HOMES[library])
    ]
    assert not strangers


def test_every_module_has_its_place():
    """A new room must be given a row, or the rule above would not see it."""
    homeless = [
        name for name, _ in modules() if name != "app" and row(name, APP if within(name, "app") else MODEL) is None
    ]
    assert not homeless


def test_the_environment_is_read_in_one_place():
    readers = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and name != "app.settings":
                readers.append(f"{name}:{node.lineno}")
    assert not readers


def test_pickle_is_read_by_convert_only():
    """torch.load appears there with weights_only=True, and pickle nowhere."""
    assert "torch.load(" in (ROOT / "model/checkpoints/conversion.py").read_text(), (
        "the rule below has nothing to judge"
    )
    for name, tree in modules():
        assert not any(within(target, "pickle") for target in imports(tree)), name
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert name == "model.checkpoints.conversion", name
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), name


# What remembers results at module level. Each is a pure function of its arguments, torch and the processor.
CACHED = {
    "model.inference.onednn.can_fuse",
    "model.inference.reduced.fourier_matrices",
    "model.inference.onednn._convolutions",
    "model.inference.cuda_graphs.card",  # what a process has once for each of its devices
}


def test_no_module_keeps_state():
    """No global of a module is assigned from a call that makes something live, and `global` is never written."""
    live = ("Settings", "Metrics", "CollectorRegistry", "FastAPI", "load", "load_checkpoint", "from_environment")
    for name, tree in modules():
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func).split(".")[-1]
                assert called not in live, f"{name}:{node.lineno}"


def test_what_is_cached_is_known():
    """A cache is state that no assignment shows, so each has to be in the list, with its reason."""
    cached = set()
    for name, tree in modules():
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for node in [*tree.body, *(member for each in classes for member in each.body)]:
            for decorator in getattr(node, "decorator_list", []):
                if re.fullmatch(r"(functools\.)?(lru_)?cache(\(.*\))?", ast.unparse(decorator)):
                    cached.add(f"{name}.{node.name}")
    assert cached == CACHED


def test_importing_model_needs_four_libraries():
    """The network can be used without the service's dependencies."""
    allowed = {
        "torch",
        "numpy",
        "safetensors",
        "PIL",
        "model",
        "onnx",
        "onnxscript",
    }  # ONNX is asked for when it is needed
    needed = set()
    for name, tree in modules():
        if within(name, "model"):
            needed |= {target.split(".")[0] for target in imports(tree)}
    import sys

    assert needed - set(sys.stdlib_module_names) <= allowed

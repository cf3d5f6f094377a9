"""Imports point one way, and serving stays free of torch."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.root import ROOT

# Who may import whom, as DESIGN has it: preprocessing ◄ model ◄ serving ◄ service.py, and training.
ALLOWED = {
    "preprocessing": {"preprocessing"},
    "model": {"model", "preprocessing"},
    "serving": {"serving", "model", "preprocessing"},
    "service.py": {"serving", "model", "preprocessing"},
    "training": {"training", "model", "preprocessing"},
}
OURS = {*ALLOWED, "service", "tests"} - {"service.py"}
PACKAGES = ("preprocessing", "model", "training", "serving", "image", "benchmarks")
# The rooms and files of training: each imports only what stands before it.
TRAINING = (
    *("errors", "config", "steps", "writing", "pages"),
    *("data", "phantoms", "networks", "cleaning", "evaluation"),
    *("report", "options", "prepare", "release", "run", "progress", "summary", "calibrate"),
    "__main__",
)
# The only files of the served tree that may import torch at all, and what serving does not import.
TORCH_FILES = {
    "model/networks/autoencoder.py",
    "model/networks/detector.py",
    "model/export.py",
    "model/networks/inspector.py",
    "model/runtime.py",
}


def _files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    """The first word of every module that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add((node.module or "").partition(".")[0])
    return found


def _modules() -> dict[str, Path]:
    """Every module of ours by its dotted name, a package by that of its folder."""
    paths = [ROOT / "service.py", *(path for package in PACKAGES for path in _files(package))]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def _graph() -> dict[str, set[str]]:
    """Every module of ours -> those of ours that it imports, inside functions too."""
    modules, graph = _modules(), dict[str, set[str]]()
    for name, path in modules.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                for alias in node.names:
                    full = f"{module}.{alias.name}"
                    imported.add(full if full in modules else module)
        graph[name] = imported & modules.keys() - {name}
    return graph


GRAPH = _graph()


def _siblings(package: str) -> dict[str, set[str]]:
    """The rooms and the direct files of a package -> those of them that they import."""
    depth = package.count(".") + 1 if package else 0

    def member(module: str) -> str | None:
        is_inside = not package or module.startswith(f"{package}.")
        return module.split(".")[depth] if is_inside else None

    graph: dict[str, set[str]] = {}
    for module, imported in GRAPH.items():
        if (own := member(module)) is not None:
            graph.setdefault(own, set()).update(
                other for name in imported if (other := member(name)) not in (None, own)
            )
    return graph


def test_no_files_import_each_other_in_a_circle() -> None:
    TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("package", ["", *(name for name in GRAPH if _siblings(name))])
def test_no_rooms_import_each_other_in_a_circle(package: str) -> None:
    TopologicalSorter(_siblings(package)).prepare()


def test_the_rooms_of_training_import_in_one_order() -> None:
    siblings = _siblings("training")
    assert set(TRAINING) == siblings.keys()
    for place, name in enumerate(TRAINING):
        later = siblings[name] & set(TRAINING[place:])
        assert not later, f"training.{name} imports {later}, which stand after it"


@pytest.mark.parametrize("place", ALLOWED)
def test_imports_point_one_way(place: str) -> None:
    for path in _files(place):
        wrong = _imports(path) & OURS - ALLOWED[place]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("place", ["preprocessing", "model", "serving", "service.py"])
def test_torch_is_named_in_these_files_only(place: str) -> None:
    named = {
        path.relative_to(ROOT).as_posix() for path in _files(place) if "torch" in _imports(path)
    }
    assert named <= TORCH_FILES


def test_preprocessing_needs_neither_torch_nor_bentoml() -> None:
    _run_without({"torch", "bentoml", "onnxruntime"}, "import preprocessing")


def test_a_served_model_answers_without_torch(model_store: Path) -> None:
    _run_without(
        {"torch", "safetensors", "onnx", "matplotlib", "scipy"},
        "from model.runtime import load_model; from model.store.find import find_directory;"
        "load_model(find_directory()); import service",
        BENTOML_HOME=str(model_store),
    )


def _run_without(modules: set[str], code: str, **environ: str) -> None:
    """Run code in a fresh interpreter in which these modules cannot be imported."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(" + repr(sorted(modules)) + "));"
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", blocked + code],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git is wherever the developer has it
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        content = (ROOT / name).read_bytes()
        assert b"/simple" + b"/" not in content, name
        assert b"/wo" + b"rk/" not in content, name

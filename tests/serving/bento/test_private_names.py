"""The private names that the code leans on: each test fails with the name of what changed.

Nothing else may lean on one: what BentoML and uvicorn do not document changes without notice.
"""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.bento.image import LockedImage
from serving.http.connection import BoundedProtocol
from tests.root import ROOT

PRIVATE = ("bentoml._internal", "_bentoml_impl", "_bentoml_sdk", "uvicorn.protocols", "uvicorn._")
# Who may import one.
ROOMS = ("serving/bento/", "serving/http/connection.py")
# What an instance of uvicorn's protocol has that ours reads or writes.
PROTOCOL_ATTRIBUTES = {
    *("connections", "cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state"),
    *("timeout_keep_alive", "timeout_keep_alive_task", "transport", "url", "ws_protocol_class"),
}
CYCLE_ATTRIBUTES = {
    *("body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete"),
    *("response_started", "transport"),
}


def written(cls: type) -> set[str]:
    """The attributes that a class's own methods write."""
    tree = ast.parse(inspect.getsource(cls))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


@pytest.mark.parametrize(
    ("cls", "names"),
    [(HttpToolsProtocol, PROTOCOL_ATTRIBUTES), (RequestResponseCycle, CYCLE_ATTRIBUTES)],
)
def test_uvicorns_protocol_has_these_attributes(cls: type, names: set[str]) -> None:
    missing = names - written(cls)
    assert not missing, f"uvicorn's {cls.__name__} has lost {missing}"


# Not of uvicorn: asyncio calls the first two, and BoundedProtocol the others.
OWN = {
    name
    for name, each in vars(BoundedProtocol).items()
    if inspect.isfunction(each) and not hasattr(HttpToolsProtocol, name)
}


@pytest.mark.parametrize(
    "name",
    sorted({n for n, each in vars(BoundedProtocol).items() if inspect.isfunction(each)} - OWN),
)
def test_what_is_overridden_takes_what_uvicorn_gives(name: str) -> None:
    theirs = inspect.signature(getattr(HttpToolsProtocol, name)).parameters
    ours = inspect.signature(getattr(BoundedProtocol, name)).parameters
    assert list(theirs) == list(ours), f"uvicorn has changed HttpToolsProtocol.{name}"


@pytest.mark.parametrize(
    "name", ["close_after_body", "_head_is_late", "_linger", "_refuse", "_oversized_head"]
)
def test_uvicorn_has_no_method_that_ours_would_hide(name: str) -> None:
    assert name in OWN, f"uvicorn has got HttpToolsProtocol.{name}"


@pytest.mark.parametrize(
    "name",
    ["_start_asgi_task", "_unset_keepalive_if_required", "_unsupported_upgrade_warning"],
)
def test_uvicorns_protocol_has_these_private_methods(name: str) -> None:
    assert hasattr(HttpToolsProtocol, name), f"uvicorn has lost HttpToolsProtocol.{name}"


def test_bentomls_image_still_asks_for_its_requirements_here() -> None:
    import bentoml.images

    name = "_freeze_python_requirements"
    plain: Any = getattr(bentoml.images.Image, name, None)
    assert plain, f"BentoML has renamed Image.{name}: bentoml build would use the network"
    theirs = inspect.signature(plain).parameters
    assert list(theirs) == list(inspect.signature(getattr(LockedImage, name)).parameters)


def test_no_other_file_imports_a_private_module() -> None:
    for folder in ("model", "preprocessing", "training", "serving", "image"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(ROOMS):
                assert not [m for m in imported(path) if m.startswith(PRIVATE)], name
    assert not [m for m in imported(ROOT / "service.py") if m.startswith(PRIVATE)]


def imported(path: Path) -> list[str]:
    """The modules that a file imports, inside functions too."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
    return modules

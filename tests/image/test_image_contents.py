"""What is in the image, and what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from image.engine import ask
from tests.image import distributions
from tests.image.containers import run_in_image
from tests.image.distributions import Distribution
from tests.image.licences import faults, locked
from tests.measured import Report

pytestmark = pytest.mark.image

MB = 1_000_000
# Six of them are the byte code of a standard library whose image has none.
MOST_ADDED = 220 * MB
TOOLS = ("gcc", "cc", "c++", "cpp", "g++", "clang", "make", "ld", "as", "git", "uv", "uvx", "curl")
CACHES = "-name .cache -o -path '/tmp/*' -o -path '/var/cache/packages*' -o -name '*.deb'"


@pytest.fixture(scope="module")
def config(image: str) -> dict[str, Any]:
    """The labels of the image."""
    found: dict[str, Any] = json.loads(ask("image", "inspect", image))[0]["Config"]
    return found


@pytest.fixture(scope="module")
def installed(image: str) -> list[Distribution]:
    """What the Python of the image can import."""
    source = Path(distributions.__file__).read_text()
    return [Distribution(**each) for each in json.loads(run_in_image("python", "-", text=source))]


def test_it_adds_little_to_its_base(image: str, report: Report) -> None:
    layers = ask("history", "--no-trunc", "--human=false", "--format", "{{json .}}", image)
    history = [json.loads(line) for line in layers.splitlines()]
    # The newest first; the base ends at its own CMD.
    commands = [n for n, each in enumerate(history) if re.match(r"(.* )?CMD \[", each["CreatedBy"])]
    assert len(commands) >= 2, commands
    sizes = [int(each["Size"]) for each in history]
    added, total = sum(sizes[: commands[1]]), sum(sizes)
    report(f"size: {total / MB:.0f} MB, of which it adds {added / MB:.1f} MB to its base")
    assert added <= MOST_ADDED


def test_its_user_is_a_number_and_not_root(config: dict[str, Any]) -> None:
    uid, _, gid = config["User"].partition(":")
    assert int(uid) >= 10_000  # above the users of a host
    assert int(gid) >= 10_000


def test_it_exposes_one_port_and_is_stopped_by_sigterm(config: dict[str, Any]) -> None:
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert not config["Volumes"]
    # Kubernetes, ECS and Render ignore it and ask /readyz themselves.
    assert "Healthcheck" not in config


def test_its_labels_say_what_it_is(config: dict[str, Any]) -> None:
    labels = config["Labels"] or {}
    for name in ("title", "description", "version", "revision", "licenses"):
        assert labels.get(f"org.opencontainers.image.{name}"), name
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_its_environment_holds_no_secret(config: dict[str, Any]) -> None:
    names = {variable.partition("=")[0] for variable in config["Env"]}
    assert not {name for name in names if re.search(r"TOKEN|SECRET|PASSWORD|API_KEY|PROXY", name)}


def test_the_locked_distributions_are_installed_and_no_others(
    installed: list[Distribution],
) -> None:
    code = "import json, packaging.markers as m; print(json.dumps(m.default_environment()))"
    environment = json.loads(run_in_image("python", "-c", code))
    assert {each.name: each.version for each in installed} == locked(environment)


def test_nothing_is_under_the_gpl_and_each_licence_has_its_text(
    installed: list[Distribution],
) -> None:
    assert faults(installed) == []


def test_no_tool_that_builds_and_no_cache_is_left(image: str) -> None:
    look = f'for tool in {" ".join(TOOLS)}; do command -v "$tool" || true; done'
    assert run_in_image("sh", "-c", look, user="0") == ""
    assert run_in_image("sh", "-c", f"find / -xdev {CACHES}", user="0") == ""


def test_the_interpreter_of_the_image_has_no_pip_and_no_torch(image: str) -> None:
    code = "from importlib.util import find_spec as f; print([n for n in %r if f(n)])"
    absent = ["pip", "setuptools", "wheel", "uv", "torch", "pydicom", "pytest", "libjpeg"]
    assert run_in_image("python", "-c", code % absent) == "[]"


def test_the_service_may_read_all_of_it_and_change_nothing(image: str) -> None:
    look = "find /app ! -type l \\( ! -user 0 -o -perm /022 -o ! -perm -004 \\) | head"
    assert run_in_image("sh", "-c", look, user="0") == ""
    look = "find /app -perm /7000 -type f | head"
    assert run_in_image("sh", "-c", look, user="0") == ""


def test_no_link_of_it_leads_nowhere(image: str) -> None:
    assert run_in_image("sh", "-c", "find /app -xtype l | head", user="0") == ""

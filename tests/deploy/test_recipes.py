"""The recipes of deploy/ ask for what the service has, and their hosts wait for it."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from serving.process.drain import FINISH_WITHIN_S
from serving.settings import read_settings
from tests.deploy.recipes import (
    COMPOSE,
    ECS,
    KUBERNETES,
    OBJECTS,
    POD,
    POD_CONTAINER,
    RAILWAY,
    RENDER,
    TASK_CONTAINER,
    load,
)
from tests.root import ROOT

IMAGE = "ghcr.io/OWNER/dicom-autoencoder"


def _variables() -> dict[str, dict[str, str]]:
    """The variables that each recipe sets, with their values; a secret has an empty one."""
    secrets = {secret["name"]: "" for secret in TASK_CONTAINER["secrets"]}
    compose = {name: re.sub(r"^\$\{\w+:-(\w+)\}$|^\$.*$", r"\1", value)
               for name, value in COMPOSE["environment"].items()}  # fmt: skip
    return {
        "render": {item["key"]: item.get("value", "") for item in RENDER["envVars"]},
        "compose": compose,
        "ecs": {i["name"]: i["value"] for i in TASK_CONTAINER["environment"]} | secrets,
        "kubernetes": {item["name"]: item.get("value", "") for item in POD_CONTAINER["env"]},
    }


VARIABLES = _variables()


@pytest.mark.parametrize("recipe", VARIABLES)
def test_each_recipe_sets_only_what_the_service_reads(recipe: str) -> None:
    given = VARIABLES[recipe]
    assert set(given) - {"PORT"} <= {
        f"SPINE_{name.upper()}" for name in type(read_settings({})).__dataclass_fields__
    }
    read_settings({name: value for name, value in given.items() if value})


@pytest.mark.parametrize("recipe", VARIABLES)
def test_each_recipe_demands_a_key(recipe: str) -> None:
    assert VARIABLES[recipe]["SPINE_API_KEY"] == ""


STOP_S = {
    "render": RENDER["maxShutdownDelaySeconds"],
    "compose": int(COMPOSE["stop_grace_period"].removesuffix("s")),
    "ecs": TASK_CONTAINER["stopTimeout"],
    "kubernetes": POD["spec"]["terminationGracePeriodSeconds"],
    "railway": RAILWAY["deploy"]["drainingSeconds"],
}


@pytest.mark.parametrize("recipe", STOP_S)
def test_each_host_waits_longer_than_the_service_takes_to_stop(recipe: str) -> None:
    drain_s = read_settings(
        {k: v for k, v in VARIABLES.get(recipe, {}).items() if k == "SPINE_DRAIN_S"}
    ).drain_s
    # Railway's documentation shows a text; its parser wants a number (railwayapp/docs#1243).
    assert isinstance(STOP_S[recipe], int)
    assert drain_s + FINISH_WITHIN_S < STOP_S[recipe]


def _probes() -> Iterator[tuple[str, str]]:
    yield "render", RENDER["healthCheckPath"]
    yield "railway", RAILWAY["deploy"]["healthcheckPath"]
    yield "ecs", load(ECS / "target-group.json")["HealthCheckPath"]
    yield "compose", COMPOSE["healthcheck"]["test"][-1]
    yield "kubernetes", POD_CONTAINER["readinessProbe"]["httpGet"]["path"]
    yield "kubernetes' start", POD_CONTAINER["startupProbe"]["httpGet"]["path"]


def test_every_host_asks_whether_the_service_is_ready() -> None:
    assert [name for name, probe in _probes() if "/readyz" not in probe] == []
    # A pod that drains is not ready and still alive.
    assert POD_CONTAINER["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_every_recipe_takes_the_published_image() -> None:
    assert RENDER["runtime"] == "image"
    assert RENDER["image"]["url"] == f"{IMAGE}:latest"
    assert TASK_CONTAINER["image"] == f"{IMAGE}:latest"
    assert f"FROM {IMAGE}:latest" in (ROOT / "deploy/railway/Dockerfile").read_text("utf-8")
    assert "/dicom-autoencoder:latest" in COMPOSE["image"]
    (replaced,) = load(KUBERNETES / "kustomization.yaml")["images"]
    assert (replaced["name"], replaced["newName"]) == (POD_CONTAINER["image"], IMAGE)


# GitHub's runners bring it and most machines do not; the test above holds the same replacement.
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_builds_the_kustomization() -> None:
    built = subprocess.run(  # noqa: S603 - our own files
        ["kubectl", "kustomize", str(KUBERNETES)],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"image: {IMAGE}:latest" in built
    assert built.count("\nkind: ") == len(OBJECTS)


README = (ROOT / "deploy/README.md").read_text("utf-8")
# Capitals in the files that the user replaces.
PLACEHOLDER = r"\b(?:OWNER|ACCOUNT|REGION|VPC|SUBNET_\w|SECURITY_GROUP|TARGET_GROUP_ARN)\b"


def test_the_readme_names_every_file_of_the_recipes_and_every_placeholder() -> None:
    files = [
        path
        for path in (ROOT / "deploy").rglob("*")
        if path.is_file() and path.suffix != ".md" and path.parent != KUBERNETES
    ]
    assert [path.name for path in files if path.name not in README] == []
    for path in [*files, *KUBERNETES.iterdir(), ROOT / "render.yaml"]:
        used = re.findall(PLACEHOLDER, path.read_text("utf-8"))
        assert [name for name in used if f"`{name}`" not in README] == [], path.name

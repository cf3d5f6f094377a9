"""The recipes of deploy/ and render.yaml, loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.root import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
ECS = ROOT / "deploy" / "ecs"


def load(path: Path) -> Any:
    """One file of JSON or YAML."""
    text = path.read_text("utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def _objects() -> dict[str, dict[str, Any]]:
    names = load(KUBERNETES / "kustomization.yaml")["resources"]
    loaded = [load(KUBERNETES / name) for name in names]
    return {resource["kind"]: resource for resource in loaded}


RENDER = load(ROOT / "render.yaml")["services"][0]
COMPOSE = load(ROOT / "deploy/compose.yaml")["services"]["dicom-autoencoder"]
RAILWAY = load(ROOT / "deploy/railway/railway.json")
TASK = load(ECS / "task-definition.json")
TASK_CONTAINER = TASK["containerDefinitions"][0]
# What `kubectl apply -k` would apply, by kind.
OBJECTS = _objects()
POD = OBJECTS["Deployment"]["spec"]["template"]
POD_CONTAINER = POD["spec"]["containers"][0]

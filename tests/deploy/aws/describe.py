"""Write the JSON Schemas beside this file anew, from what botocore knows of AWS's calls.

botocore wants an older python-dateutil than BentoML, so it has no place in `.venv`, and these few
schemas are kept instead. In any environment with click and botocore (Apache-2.0):
`python tests/deploy/aws/describe.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

# The file under deploy/ecs that each call takes, AWS's service, the call.
CALLS = (
    ("task-definition", "ecs", "RegisterTaskDefinition"),
    ("service", "ecs", "CreateService"),
    ("target-group", "elbv2", "CreateTargetGroup"),
    ("scaling", "application-autoscaling", "PutScalingPolicy"),
)
_KINDS = {
    "boolean": "boolean",
    "double": "number",
    "float": "number",
    "integer": "integer",
    "long": "integer",
    "string": "string",
    "timestamp": "string",
}


def json_schema(shapes: dict[str, Any], name: str) -> dict[str, Any]:
    """The JSON Schema of a shape and all that it holds, each once under `$defs`.

    Args:
        shapes: what botocore's service-2.json calls so.
        name: of the shape.
    """
    definitions: dict[str, Any] = {}

    def refer(shape_name: str) -> dict[str, str]:
        if shape_name not in definitions:
            definitions[shape_name] = {}  # it may hold itself
            definitions[shape_name] = describe(shapes[shape_name])
        return {"$ref": f"#/$defs/{shape_name}"}

    def describe(shape: dict[str, Any]) -> dict[str, Any]:
        kind = shape["type"]
        if kind == "structure":
            return {
                "type": "object",
                "properties": {k: refer(v["shape"]) for k, v in shape["members"].items()},
                "required": shape.get("required", []),
                "additionalProperties": False,
            }
        if kind == "list":
            return {"type": "array", "items": refer(shape["member"]["shape"])}
        if kind == "map":
            return {"type": "object", "additionalProperties": refer(shape["value"]["shape"])}
        choices = {"enum": shape["enum"]} if "enum" in shape else {}
        return {"type": _KINDS[kind], **choices}

    return refer(name) | {"$defs": definitions}


@click.command()
def main() -> None:
    """Write one schema for each file under deploy/ecs."""
    import botocore
    from botocore.loaders import Loader

    for file, service, call in CALLS:
        model = Loader().load_service_model(service, "service-2")
        schema = json_schema(model["shapes"], model["operations"][call]["input"]["shape"])
        source = f"{service} {call}, from botocore {botocore.__version__} (Amazon.com, Apache-2.0)"
        path = Path(__file__).with_name(f"{file}.schema.json")
        path.write_text(json.dumps({"$comment": source} | schema, indent=1) + "\n", "utf-8")
        click.echo(path.name)


if __name__ == "__main__":
    main()

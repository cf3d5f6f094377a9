"""Check the recipes of deploy/ecs against AWS's own description of the calls that take them.

`make check` runs it: `python -m tests.deploy.ecs`. The descriptions come with botocore; no network
and no account is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from tests.deploy.recipes import ECS, load

# The file under deploy/ecs: AWS's service, and the call that takes it.
CALLS = {
    "task-definition": ("ecs", "RegisterTaskDefinition"),
    "service": ("ecs", "CreateService"),
    "target-group": ("elbv2", "CreateTargetGroup"),
    "scaling": ("application-autoscaling", "PutScalingPolicy"),
}


def problems(recipe: str, content: Any) -> list[str]:
    """List what AWS would refuse in the content of a recipe, a line each.

    Args:
        recipe: a name from CALLS.
        content: the parameters of the call.
    """
    service, call = CALLS[recipe]
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    shape = model.operation_model(call).input_shape
    report = ParamValidator().validate(content, shape).generate_report()
    return [*report.splitlines(), *_unchecked_by_botocore(content, shape, recipe)]


def _unchecked_by_botocore(content: Any, shape: Any, place: str) -> Iterator[str]:
    """Find values outside an enumeration, and truth values in place of numbers."""
    if isinstance(content, bool) and shape.type_name != "boolean":
        yield f"{place} is {content} instead of: {shape.type_name}"
    elif isinstance(content, str) and content not in (getattr(shape, "enum", None) or [content]):
        yield f"{place} is {content!r}, none of {', '.join(shape.enum)}"
    elif isinstance(content, list) and shape.type_name == "list":
        for number, item in enumerate(content):
            yield from _unchecked_by_botocore(item, shape.member, f"{place}[{number}]")
    elif isinstance(content, dict) and shape.type_name == "map":
        for key, value in content.items():
            yield from _unchecked_by_botocore(key, shape.key, place)
            yield from _unchecked_by_botocore(value, shape.value, f"{place}.{key}")
    elif isinstance(content, dict) and shape.type_name == "structure":
        for key in content.keys() & shape.members.keys():
            yield from _unchecked_by_botocore(content[key], shape.members[key], f"{place}.{key}")


@click.command()
def main() -> None:
    """Print what AWS would refuse in deploy/ecs; exit 1 if it would refuse anything."""
    found = [
        f"deploy/ecs/{recipe}.json: {problem}"
        for recipe in CALLS
        for problem in problems(recipe, load(ECS / f"{recipe}.json"))
    ]
    for line in found:
        click.echo(line, err=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

"""The recipes of deploy/ecs are what AWS's calls take, and mistakes in them are found."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.deploy.ecs import CALLS, problems
from tests.deploy.recipes import ECS, load


@pytest.mark.parametrize("recipe", CALLS)
def test_aws_takes_the_recipe(recipe: str) -> None:
    assert problems(recipe, load(ECS / f"{recipe}.json")) == []


def test_every_file_of_the_recipe_is_checked() -> None:
    assert {path.stem for path in ECS.iterdir()} == set(CALLS)


def misspell(task: dict[str, Any]) -> None:
    task["containerDefinitions"][0]["stopTimeOut"] = 30


def give_a_text_for_a_number(task: dict[str, Any]) -> None:
    task["containerDefinitions"][0]["portMappings"][0]["containerPort"] = "8000"


def give_a_truth_value_for_a_number(task: dict[str, Any]) -> None:
    task["containerDefinitions"][0]["stopTimeout"] = True


def choose_an_unknown_value(task: dict[str, Any]) -> None:
    task["runtimePlatform"]["cpuArchitecture"] = "X86"


def choose_an_unknown_value_in_a_list(task: dict[str, Any]) -> None:
    task["requiresCompatibilities"] = ["FARGAT"]


def leave_out_the_family(task: dict[str, Any]) -> None:
    del task["family"]


def give_a_list_for_an_object(task: dict[str, Any]) -> None:
    task["runtimePlatform"] = []


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (misspell, '"stopTimeOut"'),
        (give_a_text_for_a_number, "portMappings[0].containerPort"),
        (give_a_truth_value_for_a_number, "stopTimeout is True"),
        (choose_an_unknown_value, "cpuArchitecture is 'X86'"),
        (choose_an_unknown_value_in_a_list, "requiresCompatibilities[0] is 'FARGAT'"),
        (leave_out_the_family, '"family"'),
        (give_a_list_for_an_object, "runtimePlatform"),
    ],
)
def test_a_mistake_is_found_once_and_named(spoil: Any, named: str) -> None:
    task = copy.deepcopy(load(ECS / "task-definition.json"))
    spoil(task)
    (problem,) = problems("task-definition", task)
    assert named in problem

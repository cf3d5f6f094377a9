"""The README says what is true: its commands, targets, variables, answers and tree."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from preprocessing import ImageError
from serving.contract import Prediction
from serving.errors import RequestError
from serving.problems import Problem
from serving.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in _blocks("console") for line in block.splitlines() if line]


def test_the_targets_of_the_makefile_and_of_the_readme_are_the_same() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    defined = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) == defined


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "help"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(re.findall(r"make ([a-z-]+)", shown)) >= set(re.findall(r"\bmake ([a-z-]+)", README))


def test_the_table_of_settings_has_each_variable_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(SPINE_\w+)` \| `([^`]*)` \|", README, re.MULTILINE))
    assert rows == {
        f"SPINE_{field.name.upper()}": "" if field.default == () else str(field.default)
        for field in fields(Settings)
    }


def test_the_answer_shown_has_the_fields_of_the_contract() -> None:
    answer, _ = (json.loads(block) for block in _blocks("json"))
    assert list(answer) == list(Prediction.model_fields)
    Prediction.model_validate(answer)


def test_the_error_shown_has_the_shape_and_a_code_of_the_service() -> None:
    _, shown = (json.loads(block) for block in _blocks("json"))

    class AnyProblem(RequestError):
        """Any."""

    body = json.loads(Problem.of(AnyProblem("detail")).body("id"))
    assert list(shown) == list(body)
    kind = next(kind for kind in _descendants(ImageError) if kind.code == shown["code"])
    assert (shown["status"], shown["title"]) == (kind.status, kind.title)


def _descendants(kind: type[ImageError]) -> set[type[ImageError]]:
    children = set(kind.__subclasses__())
    return children.union(*(_descendants(child) for child in children))


MODULE_COMMANDS = [line for line in COMMANDS if line.startswith("python -m ")]


@pytest.mark.parametrize("line", MODULE_COMMANDS)
def test_each_python_command_exists_with_the_options_shown(line: str) -> None:
    words = line.split()
    command = [word for word in words[3:] if not word.startswith("-")][:1]
    shown = subprocess.run(  # noqa: S603 - our own modules
        [sys.executable, "-m", words[2], *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout


def test_every_file_and_link_the_readme_points_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

"""The workflows hold what GitHub cannot check: pins, rights, secrets, and commands that exist."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.root import ROOT

WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
TEXTS = {name: path.read_text("utf-8") for name, path in WORKFLOWS.items()}
# YAML 1.1 reads the key `on` as True.
LOADED: dict[str, dict[Any, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}


def _jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, workflow in LOADED.items():
        for job_name, job in workflow["jobs"].items():
            yield f"{name}.{job_name}", job


JOBS = dict(_jobs())


def test_there_are_three_workflows() -> None:
    assert set(WORKFLOWS) == {"ci", "newest", "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_action_is_pinned_by_commit_and_says_its_version(workflow: str) -> None:
    lines = re.findall(r"^\s*(?:- )?uses: (.+)$", TEXTS[workflow], re.MULTILINE)
    assert lines
    for line in lines:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\$/\.github/.+", line), line


def test_an_action_has_one_commit_everywhere() -> None:
    pins = set(re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (\S+)", "".join(TEXTS.values())))
    assert len({action for action, _, _ in pins}) == len(pins)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_nothing_is_allowed_by_default(workflow: str) -> None:
    assert LOADED[workflow]["permissions"] == {}


@pytest.mark.parametrize("job", JOBS)
def test_every_job_says_what_it_may_and_when_it_has_taken_too_long(job: str) -> None:
    assert "permissions" in JOBS[job]
    assert "uses" in JOBS[job] or JOBS[job]["timeout-minutes"] <= 60


def test_what_a_pull_request_starts_may_only_read_and_knows_no_secret() -> None:
    assert set(LOADED["ci"][True]) == {"pull_request", "workflow_call"}
    assert {str(job["permissions"]) for job in LOADED["ci"]["jobs"].values()} == {
        "{'contents': 'read'}"
    }
    assert "secrets." not in TEXTS["ci"]
    assert "github.token" not in TEXTS["ci"]


def test_no_checkout_leaves_its_credentials_behind() -> None:
    for name, job in JOBS.items():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_whoever_may_write_runs_no_code_of_the_repository() -> None:
    for name, job in JOBS.items():
        if "write" in job["permissions"].values():
            steps = [step.get("uses", "") + step.get("run", "") for step in job["steps"]]
            own = [s for s in steps if re.search(r"checkout@|\bmake |\.github/", s)]
            assert own == [], name


def test_nothing_is_published_that_was_not_tested_and_scanned() -> None:
    release = LOADED["release"]["jobs"]
    assert set(release["publish"]["needs"]) == {"plan", "tests", "image"}
    assert release["tests"]["uses"] == "$/.github/workflows/ci.yml"
    image = yaml.safe_dump(release["image"]["steps"])
    assert "make test-image" in image
    assert "severity: HIGH,CRITICAL" in image
    assert "exit-code: '1'" in image
    for job in ("release", "deploy"):
        assert "publish" in release[job]["needs"]


def test_the_names_that_people_pull_come_after_the_signature_was_verified() -> None:
    steps = [step.get("run", "") for step in LOADED["release"]["jobs"]["publish"]["steps"]]
    text = "\n".join(steps)
    assert text.index("cosign sign") < text.index("cosign verify") < text.index("$IMAGE:latest")


def test_the_only_secret_lives_in_an_environment() -> None:
    assert re.findall(r"secrets\.(\w+)", TEXTS["release"]) == ["RENDER_DEPLOY_HOOK"]
    assert LOADED["release"]["jobs"]["deploy"]["environment"] == "production"


@pytest.mark.parametrize("job", JOBS)
def test_no_text_of_others_becomes_part_of_a_command(job: str) -> None:
    for step in JOBS[job].get("steps", []):
        assert "${{" not in step.get("run", "")


def test_every_command_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    defined = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", "".join(TEXTS.values())))
    assert used <= defined

"""README and docs are true: commands, targets, variables, links, answers."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import httpx
import pytest

from docs.hooks import PAGES
from preprocessing import ImageError
from serving.contract import Prediction
from serving.errors import RequestError
from serving.settings import Settings
from tests.root import ROOT
from tests.serving.server import bentoml_serve

README = (ROOT / "README.md").read_text("utf-8")
# Each page by its path in the repository.
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in [*(ROOT / name for name in PAGES), *sorted((ROOT / "docs").glob("*.md"))]
}
ALL = "\n".join(text for name, text in TEXTS.items() if name != "CHANGELOG.md")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
Refusal = type[ImageError] | type[RequestError]
SERVED_AT = "127.0.0.1:8000"


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def descendants(kind: Refusal) -> set[Refusal]:
    """The kinds of errors below one in its tree."""
    children: set[Refusal] = set(kind.__subclasses__())
    return children.union(*(descendants(child) for child in children))


def test_the_readme_has_at_most_170_lines() -> None:
    assert len(README.splitlines()) <= 170


def test_every_target_of_the_makefile_is_documented_and_every_documented_one_exists() -> None:
    defined = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"(?:^|`|= )make ([a-z-]+)", ALL, re.MULTILINE)) <= defined
    assert defined <= set(re.findall(r"\bmake ([a-z-]+)", ALL))


def test_every_variable_given_to_make_is_one_of_the_makefile() -> None:
    calls = re.findall(r"\bmake [a-z-]+((?: [A-Z_]+=(?:\"[^\"]*\"|\S*))+)", ALL)
    given = {name for call in calls for name in re.findall(r" ([A-Z_]+)=", call)}
    assert given >= {"DATA", "NAME", "ARGS", "PORT"}
    assert [name for name in given if not re.search(rf"\b{name}\b", MAKEFILE)] == []


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "help"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    defined = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", shown)) == defined


def test_the_table_of_settings_has_each_variable_with_its_default() -> None:
    rows = dict(
        re.findall(
            r"^\| `(SPINE_\w+)` \| `?([^|`]+)`? \|", TEXTS["docs/configuration.md"], re.MULTILINE
        )
    )
    assert rows == {
        f"SPINE_{field.name.upper()}": "none" if field.default == () else str(field.default)
        for field in fields(Settings)
    }


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    known = {f"SPINE_{field.name.upper()}" for field in fields(Settings)}
    assert set(re.findall(r"\bSPINE_[A-Z_]+\b", ALL)) <= known


def test_the_api_page_has_each_field_and_each_status() -> None:
    api = TEXTS["docs/api.md"]
    answer = api.partition("## The answer")[2].partition("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`.*?) \|", answer, re.MULTILINE))
    assert [name for name in Prediction.model_fields if f"`{name}`" not in rows] == []
    table = api.partition("\n## Errors\n")[2]
    first_cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    shown = {int(status) for cell in first_cells for status in cell.split(",")}
    raised = {kind.status for kind in descendants(ImageError) | descendants(RequestError)}
    assert raised <= shown


def test_the_error_shown_has_a_code_of_the_service() -> None:
    shown = json.loads(blocks(TEXTS["docs/api.md"], "json")[0])
    kind = next(kind for kind in descendants(ImageError) if kind.code == shown["code"])
    assert (shown["status"], shown["title"]) == (kind.status, kind.title)


# As in a console or in a sentence; words in capitals stand for what the reader puts there.
COMMANDS = sorted(
    {
        (module, tuple(words.split()))
        for module, words in re.findall(r"\bpython -m ([a-z_.]+)((?: [^\s`|]+)*)", ALL)
        if (ROOT / module.partition(".")[0]).is_dir()
    }
)


@pytest.mark.parametrize(
    ("module", "words"), COMMANDS, ids=[" ".join([m, *w])[:60] for m, w in COMMANDS]
)
def test_each_python_command_exists_with_the_options_shown(
    module: str, words: tuple[str, ...]
) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    if not words:
        return
    commands = {"training", "model.store"}
    shown = subprocess.run(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, *words[: module in commands], "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in shown.stdout


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_inside_the_repository_leads_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), target


PYTHON = [(name, code) for name, text in TEXTS.items() for code in blocks(text, "python")]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[name for name, _ in PYTHON])
def test_python_snippets_compile(page: str, code: str) -> None:
    compile(code, page, "exec")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with the released model listens."""
    home = tmp_path_factory.mktemp("home")
    released = str(ROOT / "pretrained/spine_autoencoder.bentomodel")
    with bentoml_serve(home / "log", BENTOML_HOME=str(home), SPINE_MODEL=released) as (url, _):
        yield url.removeprefix("http://")


def test_each_curl_of_a_sample_is_answered_and_the_readme_shows_the_first_answer(host: str) -> None:
    lines = {
        line
        for text in TEXTS.values()
        for block in blocks(text, "console")
        for line in block.splitlines()
        if line.startswith("curl ") and "@samples/" in line and SERVED_AT in line
    }
    assert len(lines) >= 4
    answers = {}
    for line in lines:
        answers[line] = subprocess.run(  # noqa: S602 - a line of our own documentation
            line.replace(SERVED_AT, host),
            shell=True,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        Prediction.model_validate_json(answers[line])
    shown = json.loads(blocks(README, "json")[0])
    answered = json.loads(answers[f"curl -F file=@samples/usual.dcm 'http://{SERVED_AT}/predict'"])
    assert list(shown) == list(answered)
    for name in (name for name in shown if name not in ("inference_time_ms", "request_id")):
        is_rounded = isinstance(shown[name], float)
        near = pytest.approx(answered[name], rel=1e-3) if is_rounded else answered[name]
        assert shown[name] == near, name


def test_each_python_snippet_works_and_each_error_has_the_shape_shown(host: str) -> None:
    snippets = [(name, code) for name, code in PYTHON if SERVED_AT in code]
    assert len(snippets) >= 4
    for name, code in snippets:
        done = subprocess.run(  # noqa: S603 - a snippet of our own documentation
            [sys.executable, "-c", code.replace(SERVED_AT, host)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert done.stdout, name
    shown = json.loads(blocks(TEXTS["docs/api.md"], "json")[0])
    assert list(shown) == list(httpx.get(f"http://{host}/nothing").json())

"""The site: strict, complete, generated from the code, and fetching nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.hooks import ASSETS, PAGES, ROOT, first_line, tree

CODE = [
    path
    for room in ROOT.glob("*/__init__.py")
    if room.parent.name != "tests"
    for path in room.parent.rglob("*.py")
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a broken link or anchor fails the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return folder


def test_the_tree_lists_every_file_and_folder_of_the_code_with_its_first_line() -> None:
    text = tree()
    assert len(CODE) > 100
    for path in CODE:
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert docstring, path
        assert docstring.splitlines()[0].replace("|", "\\|") in text, path
        if path.name != "__init__.py":
            assert f"`{path.relative_to(ROOT).as_posix().partition('/')[2]}`" in text


def test_a_file_without_a_docstring_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / "room" / "bare.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"bare\.py has no docstring"):
        tree(tmp_path)


def test_a_bar_in_a_docstring_does_not_split_the_table(tmp_path: Path) -> None:
    file = tmp_path / "choice.py"
    file.write_text('"""Choose a | b.\n\nMore.\n"""\n')
    assert first_line(file) == "Choose a \\| b."


@pytest.mark.heavy
def test_the_site_has_every_page_and_picture(site: Path) -> None:
    for page in PAGES.values():
        assert (site / page).with_suffix(".html").is_file(), page
    for pattern in ASSETS:
        for asset in ROOT.glob(pattern):
            assert (site / asset.relative_to(ROOT)).is_file(), asset
    assert not list(site.rglob("*.py"))


@pytest.mark.heavy
def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?(https?:[^\"' >]+)",
            page.read_text("utf-8"),
        )
        assert fetched == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:", style.read_text("utf-8")), style.name

"""Complete the site: pages from outside docs/, their links, the tree of the code."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
TREE_MARK = "<!-- tree -->"
# Each is read on its own in the repository too, where people look for it.
PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "deploy/README.md": "deploy.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "pretrained/MODEL_CARD.md": "model-card.md",
    "training/LOG.md": "experiments.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
# What pages show or offer; links to other files of the repository become plain text.
ASSETS = ("pretrained/*.png", "pretrained/*.csv", "pretrained/evaluation/*", "samples/*.dcm")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for asset in sorted(path for pattern in ASSETS for path in ROOT.glob(pattern)):
        name = asset.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(asset)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links from where a page lies in the repository to where things lie on the site."""
    name = page.file.src_uri
    source = {site: repository for repository, site in PAGES.items()}.get(name, f"docs/{name}")
    offered = {file.src_uri for file in files}

    def link(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        found = PAGES.get(wanted, wanted.removeprefix("docs/"))
        if found not in offered:
            return text if "`" in text else f"`{text}`"
        relative = posixpath.relpath(found, posixpath.dirname(name) or ".")
        return f"[{text}]({relative}{'#' * bool(anchor)}{anchor})"

    # Odd pieces are fenced code, which holds no links.
    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    pieces[::2] = [_LINK.sub(link, piece) for piece in pieces[::2]]
    return "".join(pieces).replace(TREE_MARK, tree())


def tree(root: Path = ROOT) -> str:
    """Write the rooms and files of the code as Markdown, each with its docstring's first line."""
    lines = ["| file | job |", "|---|---|"]
    lines += [f"| `{file.name}` | {first_line(file)} |" for file in sorted(root.glob("*.py"))]
    for room in sorted(path.parent for path in root.glob("*/__init__.py")):
        if room.name != "tests":
            lines += ["", f"### {room.name}", "", first_line(room / "__init__.py"), ""]
            lines += ["| file | job |", "|---|---|"]
            lines += [f"| `{name}` | {job} |" for name, job in _files(room, room)]
    return "\n".join(lines)


def _files(folder: Path, room: Path) -> Iterator[tuple[str, str]]:
    """Each file of a folder with its job, then each folder in it with its own."""
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            yield file.relative_to(room).as_posix(), first_line(file)
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield f"{inner.relative_to(room).as_posix()}/", first_line(inner / "__init__.py")
        yield from _files(inner, room)


def first_line(file: Path) -> str:
    """The first line of a module's docstring, to stand in a Markdown table.

    Raises:
        ValueError: it has none.
    """
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    if not docstring:
        raise ValueError(f"{file} has no docstring")
    return docstring.splitlines()[0].replace("|", "\\|")

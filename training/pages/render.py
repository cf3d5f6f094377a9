"""Fill a template of this folder and write the page: one file that fetches nothing.

`base.html` is the frame of every page, `parts.html` has what pages share: tables, figures,
choices. A page that needs a script includes it in the block `script`; its hash goes into the
page's Content-Security-Policy, so that no other script runs, whatever a file name holds.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.writing import aside


def write_page(path: Path, template: str, **values: object) -> None:
    """Fill a template and write the page.

    Args:
        path: of the page.
        template: name of a file in this folder.
        values: what it shows, escaped here. An iterator that a template loops over is taken item
            by item, so that a page may be larger than memory.

    Raises:
        jinja2.UndefinedError: the template shows something that is not in `values`.
    """
    with aside(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(_TEMPLATES.get_template(template).generate(**values))


def _policy_hash(text: str) -> str:
    """Name a script or a stylesheet as a Content-Security-Policy does (CSP Level 3, 2.3.1)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["policy_hash"] = _policy_hash

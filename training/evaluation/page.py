"""Write what an evaluation leaves behind: evaluation.json, plots as PNG, and one HTML page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.cleaning.png import data_uri
from training.evaluation.plots import plot_alarms, plot_auroc, plot_channels, plot_examples
from training.evaluation.text import (
    HEADINGS,
    describe_alarms,
    describe_images,
    kind_row,
    macro_row,
)

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation

JSON_FILE, HTML_FILE = "evaluation.json", "evaluation.html"
EXAMPLES_FILE = "examples.png"
_PLOTS = {
    "auroc.png": ("AUROC of each kind, with 95 % intervals", plot_auroc),
    "channels.png": ("AUROC of each score", plot_channels),
    "alarms.png": ("Alarms on usual slices over repeats", plot_alarms),
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
tr.macro { font-weight: 600; background: #f4f6f8 }
img { max-width: 100% }
"""


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Turn an evaluation into what JSON can hold; what is not known becomes null."""
    content = {name: value for name, value in vars(evaluation).items() if name != "examples"}
    content["alarms"] = asdict(evaluation.alarms)
    content["kinds"] = [asdict(kind) for kind in evaluation.kinds]
    content["macros"] = [asdict(macro) for macro in evaluation.macros]
    known: dict[str, Any] = _known(content)
    return known


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write all files into a folder; the page needs no other file and no network.

    The page and its plots hold numbers alone. Pictures are in examples.png only: of held-out
    patients, so that file is not for everybody.

    Args:
        folder: created if it is not there.
        evaluation: what came out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / JSON_FILE, json.dumps(as_json(evaluation), indent=2, allow_nan=False) + "\n")
    for name, (_, plot) in _PLOTS.items():
        plot(folder / name, evaluation)
    plot_examples(folder / EXAMPLES_FILE, evaluation)
    _write(folder / HTML_FILE, _page(folder, evaluation))


def _page(folder: Path, evaluation: Evaluation) -> str:
    title = f"Evaluation of {evaluation.model}: {evaluation.suite}"
    plots = "".join(
        f"<h2>{escape(heading)}</h2>"
        f'<img alt="{escape(heading)}" src="{data_uri((folder / name).read_bytes())}">'
        for name, (heading, _) in _PLOTS.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(describe_images(evaluation))}</p>"
        f"{_table(evaluation)}"
        "<p>The best channel is chosen with hindsight: a ceiling, not a result. A planted kind is"
        " compared with the slices that it was planted into, any other with all usual ones.</p>"
        f"<h2>False alarms</h2><p>{escape(describe_alarms(evaluation.alarms))}</p>"
        f"{plots}</body></html>\n"
    )


def _table(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in HEADINGS)
    rows = [_row(macro_row(macro), ' class="macro"') for macro in evaluation.macros]
    rows += [_row(kind_row(kind), "") for kind in evaluation.kinds]
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _row(texts: Sequence[str], attribute: str) -> str:
    return f"<tr{attribute}>{''.join(f'<td>{escape(text)}</td>' for text in texts)}</tr>"


def _known(value: Any) -> Any:
    """Replace NaN, which JSON does not know, by null, at any depth."""
    if isinstance(value, dict):
        return {key: _known(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_known(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _write(path: Path, text: str) -> None:
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, "utf-8")
    aside.replace(path)

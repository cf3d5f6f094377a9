"""Write what an evaluation leaves behind: evaluation.json, plots as PNG, and one HTML page."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.evaluation.plots import plot_alarms, plot_auroc, plot_channels, plot_examples
from training.evaluation.text import (
    HEADINGS,
    describe_alarms,
    describe_images,
    kind_row,
    macro_row,
)
from training.pages.pictures import data_uri
from training.pages.render import write_page
from training.writing import write_json

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation

JSON_FILE, HTML_FILE = "evaluation.json", "evaluation.html"
EXAMPLES_FILE = "examples.png"
_PLOTS = {
    "auroc.png": ("AUROC of each kind, with 95 % intervals", plot_auroc),
    "channels.png": ("AUROC of each score", plot_channels),
    "alarms.png": ("Alarms on usual slices over repeats", plot_alarms),
}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Turn an evaluation into what JSON can hold; what is not known becomes null."""
    content = asdict(replace(evaluation, examples={}))
    del content["examples"]
    # Python writes NaN, which JSON does not have, and can read it back as null.
    known: dict[str, Any] = json.loads(json.dumps(content), parse_constant=lambda name: None)
    return known


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write all files into a folder; the page needs no other file and no network.

    The page and its plots hold numbers alone. Only examples.png has pictures; they may be of
    patients, so think before passing it on.

    Args:
        folder: created if it is not there.
        evaluation: what came out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON_FILE, as_json(evaluation))
    for name, (_, plot) in _PLOTS.items():
        plot(folder / name, evaluation)
    plot_examples(folder / EXAMPLES_FILE, evaluation)
    write_page(
        folder / HTML_FILE,
        "evaluation.html",
        model=evaluation.model,
        suite=evaluation.suite,
        images=describe_images(evaluation),
        headings=HEADINGS,
        macros=[macro_row(macro) for macro in evaluation.macros],
        kinds=[kind_row(kind) for kind in evaluation.kinds],
        alarms=describe_alarms(evaluation.alarms),
        plots=[
            (data_uri((folder / name).read_bytes()), heading)
            for name, (heading, _) in _PLOTS.items()
        ],
    )

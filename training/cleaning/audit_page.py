"""Show a person what cleaning removed: audit.html, one file that fetches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from training.cleaning.audit import REMOVED, AuditRow, count_changes
from training.cleaning.histogram import draw_histogram
from training.cleaning.png import data_uri, encode_png, heat_palette, shrink, to_bytes
from training.cleaning.rca import Round

AUDIT_PAGE = "audit.html"
_TEMPLATE = Path(__file__).with_name("audit_page.html")
# Pages of more pictures show smaller ones: a browser bears some tens of megabytes.
_SIDES = ((400, 128), (4000, 64))
_SMALLEST_SIDE = 48

Picture = NDArray[np.floating]


def write_page(
    path: Path,
    rows: Sequence[AuditRow],
    rounds: Sequence[Round],
    channels: Sequence[str],
    pictures: Iterable[tuple[Picture, Picture | None]],
) -> None:
    """Write audit.html, picture after picture, aside and then renamed.

    Args:
        path: of the page.
        rows: the images to show, in this order.
        rounds: of the cleaning.
        channels: names of the scores' columns.
        pictures: of each row: its slice, [S, S] in [0, 1], and the residual map, [h, w], or None
            where there is none; taken one by one.
    """
    head, tail = (
        Template(_TEMPLATE.read_text("utf-8"))
        .substitute(_page_values(rows, rounds, channels), images="\0")
        .split("\0")
    )
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8") as file:
        file.write(head)
        side = next((s for most, s in _SIDES if len(rows) <= most), _SMALLEST_SIDE)
        for row, (picture, residual) in zip(rows, pictures, strict=True):
            file.write(_item(row, picture, residual, side))
        file.write(tail)
    aside.replace(path)


def _page_values(
    rows: Sequence[AuditRow], rounds: Sequence[Round], channels: Sequence[str]
) -> dict[str, str]:
    n_removed = sum(row.state == REMOVED for row in rows)
    n_images = len(rounds[-1].keep) if rounds else 0
    summary = (
        f"{n_removed} of {n_images} images are in quarantine after {len(rounds)} rounds. Write keep"
        " or drop beside an image, save overrides.csv into the folder of the run or name it with"
        " --overrides, and the next run does as you say."
    )
    return {
        "summary": escape(summary),
        "rounds": _rounds_table(rounds),
        "histograms": "".join(
            draw_histogram(values, done.keep, f"round {number}, {name}")
            for number, done in enumerate(rounds, 1)
            for name, values in _drawn(done, channels)
        ),
        "states": _choices(row.state for row in rows),
        "channels": _choices(row.channel for row in rows),
        "numbers": _choices(str(row.round) for row in rows),
        "folds": _choices(str(row.fold) for row in rows),
        "judged": _choices(row.judged_as for row in rows),
    }


def _drawn(done: Round, channels: Sequence[str]) -> list[tuple[str, NDArray[np.float64]]]:
    drawn = [(channels[0], done.scores[:, 0])]
    if done.judged is not None:
        drawn.append(("highest robust z", np.maximum(done.judged.highest(), 0.1)))
    return drawn


def _rounds_table(rounds: Sequence[Round]) -> str:
    cells = "".join(
        "<tr>" + "".join(f"<td>{value}</td>" for value in counts.values()) + "</tr>"
        for counts in count_changes(rounds)
    )
    titles = ("round", "newly quarantined", "returned", "in quarantine after it")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<table><tr>{head}</tr>{cells}</table>"


def _choices(values: Iterable[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in sorted(set(values)))
    return f'<option value="">all</option>{options}'


def _item(
    row: AuditRow,
    picture: Picture,
    residual: Picture | None,
    side: int,
) -> str:
    images = _image(encode_png(to_bytes(shrink(picture, side))), "slice")
    if residual is not None:
        small = shrink(residual, side)
        # Its own brightest pixels set the scale: where the error lies, not how large it is.
        pixels = to_bytes(small, float(np.percentile(small, 99.5)))
        images += _image(encode_png(pixels, heat_palette()), "residual map")
    z = "" if row.z is None else f"{row.z:.1f}"
    data = {
        "path": row.path,
        "frame": row.frame,
        "state": row.state,
        "channel": row.channel,
        "round": row.round,
        "fold": row.fold,
        "judged": row.judged_as,
        "z": z,
    }
    attributes = " ".join(f'data-{n}="{escape(str(value))}"' for n, value in data.items())
    return (
        f"<li {attributes}>{images}"
        f'<p class="path">{escape(row.path)}, frame {row.frame}</p>'
        f"<p>{row.sop_hash} &middot; {row.state}, rounds {row.history}</p>"
        f"<p>{escape(row.channel)}, z {z or '&ndash;'} of the {row.judged_as}, fold {row.fold},"
        f" MSE {row.reconstruction_mse:.4g}</p>"
        '<p><label>decision <select><option value=""></option><option>keep</option>'
        "<option>drop</option></select></label></p></li>\n"
    )


def _image(png: bytes, text: str) -> str:
    return f'<img src="{data_uri(png)}" alt="{text}">'

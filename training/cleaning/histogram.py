"""Draw histograms as SVG, to stand in a page."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT, _BINS = 360, 150, 48
_KEPT, _REMOVED = "#4c78a8", "#d62728"


def draw_histogram(values: NDArray[np.float64], keep: NDArray[np.bool_], title: str) -> str:
    """Draw how many images have which score, the kept ones below, the removed ones on top.

    Args:
        values: scores, [N]; on a logarithmic axis if all are positive.
        keep: which images are kept, [N].
        title: below the picture; escaped here.
    """
    is_log = bool((values > 0).all())
    shown = np.log10(values) if is_log else values
    low, high = float(shown.min()), float(shown.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    kept, removed = (np.histogram(shown[chosen], edges)[0] for chosen in (keep, ~keep))
    # Few are removed: on a plain axis their bars would not be seen beside the kept ones'.
    top = np.log1p(max(1, int((kept + removed).max())))
    width = _WIDTH / _BINS
    bars = []
    for number, (below, above) in enumerate(zip(kept.tolist(), removed.tolist(), strict=True)):
        first, last = (_HEIGHT * float(np.log1p(n) / top) for n in (below, below + above))
        bars.append(_bar(number * width, 0, first, width, _KEPT))
        bars.append(_bar(number * width, first, last, width, _REMOVED))
    ends = [f"{10**end if is_log else end:.3g}" for end in (low, high)]
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT + 16}" width="{_WIDTH}" role="img"'
        f' aria-label="{escape(title)}">{"".join(bars)}'
        f'<text x="0" y="{_HEIGHT + 13}" font-size="12">{ends[0]}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 13}" font-size="12" text-anchor="end">{ends[1]}</text>'
        f"</svg><figcaption>{escape(title)}: {int(keep.sum())} kept (blue),"
        f" {int((~keep).sum())} not (red); heights by the logarithm of the count</figcaption>"
        "</figure>"
    )


def _bar(left: float, low: float, high: float, width: float, colour: str) -> str:
    if high <= low:
        return ""
    return (
        f'<rect x="{left:.1f}" y="{_HEIGHT - high:.1f}" width="{width - 0.5:.1f}"'
        f' height="{high - low:.1f}" fill="{colour}"/>'
    )

"""Put slices, maps of errors and plots into PNG, as files or within a page."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from training.writing import aside

_DPI = 110
# Brighter throughout, so that it also reads in grey; no black, so that no error is not no picture.
_HEAT = colormaps["inferno"](np.arange(256), bytes=True)[:, :3].tobytes()


def grey_picture(values: NDArray[np.floating], side: int) -> str:
    """Show a slice, [H, W] in [0, 1], at most `side` pixels wide; returns the URI of a PNG."""
    return _uri_of(_to_bytes(_shrink(values, side), 1.0))


def heat_picture(values: NDArray[np.floating], side: int) -> str:
    """Show a residual map, [H, W], at most `side` pixels wide; returns the URI of a PNG.

    Its own brightest pixels set the scale: where the error lies, not how large it is.
    """
    small = _shrink(values, side)
    picture = _to_bytes(small, float(np.percentile(small, 99.5)))
    picture.putpalette(_HEAT)
    return _uri_of(picture)


def figure_picture(figure: Figure) -> str:
    """Draw a figure; returns the URI of a PNG, the same for the same figure."""
    buffer = BytesIO()
    _save(figure, buffer)
    return data_uri(buffer.getvalue())


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, the same bytes for the same figure."""
    with aside(path) as part:
        _save(figure, part)


def data_uri(png: bytes) -> str:
    """Put a PNG into the page itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _shrink(values: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    """Average pixels until neither side is longer than `side`; never enlarge."""
    picture = Image.fromarray(np.asarray(values, np.float32))
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(picture)


def _to_bytes(values: NDArray[np.float32], highest: float) -> Image.Image:
    """Map 0 to `highest` to 0 to 255; what lies outside is clipped, and NaN is black."""
    scaled = np.nan_to_num(values / (highest or 1.0))
    return Image.fromarray((255 * np.clip(scaled, 0, 1) + 0.5).astype(np.uint8))


def _uri_of(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue())


def _save(figure: Figure, target: Path | BytesIO) -> None:
    # matplotlib's version among the metadata would make another file of the same figure.
    figure.savefig(target, format="png", dpi=_DPI, metadata={"Software": None})

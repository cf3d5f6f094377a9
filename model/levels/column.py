"""Draw a curve through the vertebral column and lay the column straight along it. Plain numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.anatomy import DISC, VERTEBRA, Anatomy, find_anatomy

FloatArray = NDArray[np.floating]

# All lengths are shares of the column's width (front to back), which no field of view changes; only
# what is too small to be a column is a share of the picture.
_SHORTEST, _NARROWEST, _LARGEST_HOLE = 1 / 8, 1 / 32, 1 / 19
_STEP = 0.5  # pixels between two places along the curve
_EXTENSION = 0.6  # beyond both ends: the last disc is tilted, so that rows cut it off
_END = 0.35  # of the curve, whose direction the extension takes
_REACH = 0.62  # to either side; the canal begins at 0.5
_NEAR = 0.85  # what lies farther from the curve is no part of the column
_COARSE, _FINE = 3, 5  # degrees of the polynomials: an S has 3, a kyphotic angle needs more
_OUTLIER = 1 / 32  # of the picture: distance at which a row counts half


class Column(NamedTuple):
    """A column laid straight: L places along its curve, U across it; lengths in pixels.

    Args:
        centres: (row, column) of each place of the curve, pixel centres at whole numbers, [L, 2].
        along: unit vectors towards the feet, [L, 2].
        width: front to back.
        across: offsets from the curve, [U]; positive is to the right where the curve goes down.
        body: probability of vertebra, [L, U].
        disc: of disc, [L, U].
        canal_side: 1 where the canal lies at positive offsets, -1 at negative ones, 0 unknown.
    """

    centres: FloatArray
    along: FloatArray
    width: float
    across: FloatArray
    body: FloatArray
    disc: FloatArray
    canal_side: int

    @property
    def step(self) -> float:
        """Pixels between two places."""
        return _STEP

    def place(self, index: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Interpolate centre and direction at fractional places: [n] -> [n, 2], [n, 2]."""
        places = np.arange(len(self.centres))
        values = [np.interp(index, places, v) for v in (*self.centres.T, *self.along.T)]
        along = np.stack(values[2:], axis=1)
        length = np.linalg.norm(along, axis=1, keepdims=True)
        return np.stack(values[:2], axis=1), along / np.maximum(length, 1e-6)


def find_column(tissues: FloatArray) -> Column | None:
    """Lay the column of one slice straight; None where there is none.

    Args:
        tissues: probabilities of background, vertebra, canal, disc, [4, H, W], head at the top.
    """
    anatomy = Anatomy(*(part[0] for part in find_anatomy(tissues[None].astype(np.float32))))
    column = anatomy.body | anatomy.disc
    rows = _rows_of_column(column)
    if rows is None:
        return None
    shown = column[rows].astype(np.float32)
    width = float(np.median(np.count_nonzero(column[rows], axis=1)))
    middle = _fit_curve(rows, shown, width)
    centres, along = _walk(rows, middle, width)
    reach = max(2, int(_REACH * width))
    across = np.arange(-reach, reach + 1, dtype=float)
    places_y = centres[:, :1] - along[:, 1:] * across
    places_x = centres[:, 1:] + along[:, :1] * across
    body, disc = _sample(tissues[[VERTEBRA, DISC]], places_y, places_x)
    return Column(centres, along, width, across, body, disc, _canal_side(anatomy, rows, middle))


def smooth(values: FloatArray, sigma: float) -> FloatArray:
    """Convolve with a Gaussian; the ends are repeated. [L] -> [L]."""
    radius = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / max(sigma, 1e-3)))
    padded = np.concatenate([np.full(radius, values[0]), values, np.full(radius, values[-1])])
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), "valid"))


def _rows_of_column(column: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Find the rows of the longest piece; holes as large as a disc do not interrupt it."""
    height = len(column)
    n_pixels = np.count_nonzero(column, axis=1)
    rows = np.flatnonzero(n_pixels >= _NARROWEST * height)
    if not len(rows):
        return None
    pieces = np.split(rows, np.flatnonzero(np.diff(rows) > _LARGEST_HOLE * height) + 1)
    largest = max(pieces, key=lambda piece: int(n_pixels[piece].sum()))
    return largest if len(largest) >= max(4, _SHORTEST * height) else None


def _fit_curve(rows: NDArray[np.int64], shown: FloatArray, width: float) -> FloatArray:
    """Fit the column's middle in each of its rows, first coarsely to their medians: [R]."""
    mass = np.cumsum(shown, axis=1)
    median = np.count_nonzero(mass < mass[:, -1:] / 2, axis=1).astype(float)
    y = 2 * (rows - rows[0]) / max(1, rows[-1] - rows[0]) - 1
    weight = np.sqrt(np.minimum(mass[:, -1], width))
    powers, middle = np.polynomial.chebyshev.chebvander(y, _COARSE), median
    distance = np.zeros(len(rows))
    for _ in range(4):
        # Cauchy's weights: a row full of something else hardly counts.
        robust = weight / (1 + np.square(distance / (_OUTLIER * shown.shape[1])))
        middle = powers @ _least_squares(powers, median, robust)
        distance = middle - median
    powers, columns = np.polynomial.chebyshev.chebvander(y, _FINE), np.arange(shown.shape[1])
    for _ in range(2):
        near = shown * (np.abs(columns - middle[:, None]) < _NEAR * width)
        n_near = near.sum(axis=1)
        mean = near @ columns / np.maximum(n_near, 1)
        used = np.where(n_near >= 3, np.sqrt(np.minimum(n_near, width)), 0)
        middle = powers @ _least_squares(powers, mean, used)
    return np.asarray(middle)


def _least_squares(powers: FloatArray, values: FloatArray, weight: FloatArray) -> FloatArray:
    """Solve the normal equations: a few unknowns, well apart, four times as fast as an SVD."""
    weighted = powers * np.square(weight)[:, None]
    gram = weighted.T @ powers + 1e-9 * np.eye(powers.shape[1])
    return np.asarray(np.linalg.solve(gram, weighted.T @ values))


def _walk(
    rows: NDArray[np.int64], middle: FloatArray, width: float
) -> tuple[FloatArray, FloatArray]:
    """Walk along the curve in equal steps, straight on beyond its ends: places, directions."""
    n_more = int(_EXTENSION * width) + 1
    n_end = min(len(rows) - 1, max(4, int(_END * width)))
    more, every = np.arange(1, n_more + 1), np.arange(rows[0], rows[-1] + 1)
    slope = (middle[n_end] - middle[0]) / n_end, (middle[-1] - middle[-1 - n_end]) / n_end
    y = np.concatenate([rows[0] - more[::-1], every, rows[-1] + more]).astype(float)
    x = np.concatenate(
        [
            middle[0] - slope[0] * more[::-1],
            np.interp(every, rows, middle),
            middle[-1] + slope[1] * more,
        ]
    )
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(y), np.diff(x)))])
    arc = np.arange(0, length[-1], _STEP)
    centres = np.stack([np.interp(arc, length, y), np.interp(arc, length, x)], axis=1)
    along = np.stack(
        [smooth(np.gradient(part), 0.25 * width / _STEP) for part in centres.T], axis=1
    )
    return centres, along / np.linalg.norm(along, axis=1, keepdims=True)


def _canal_side(anatomy: Anatomy, rows: NDArray[np.int64], middle: FloatArray) -> int:
    """Return on which side of the curve the canal lies, 0 if it is not seen."""
    canal = anatomy.canal[rows].astype(np.float32)
    columns = np.arange(canal.shape[1], dtype=np.float32)
    return int(np.sign((canal @ columns - canal.sum(axis=1) * middle).sum()))


def _sample(maps: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Interpolate maps linearly; 0 outside of the picture: [C, H, W] -> [C, *y.shape]."""
    n_maps, height, width = maps.shape
    y, x = y.astype(np.float32), x.astype(np.float32)
    is_outside = (y < -0.5) | (y > height - 0.5) | (x < -0.5) | (x > width - 0.5)
    y, x = np.clip(y, 0, height - 1.001), np.clip(x, 0, width - 1.001)
    top, left = y.astype(np.int64), x.astype(np.int64)
    down, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    flat, corner = maps.reshape(n_maps, -1), top * width + left
    upper = flat[:, corner] * (1 - right) + flat[:, corner + 1] * right
    lower = flat[:, corner + width] * (1 - right) + flat[:, corner + width + 1] * right
    return np.asarray(np.where(is_outside, 0, upper * (1 - down) + lower * down))

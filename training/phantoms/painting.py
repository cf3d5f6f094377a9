"""Paint a spine's ideal signal from its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from training.phantoms.spine import TISSUES, Finding, FloatArray, Spine, level_centres


@dataclass(frozen=True)
class Canvas:
    """Coordinates of the pixels in the phantom's own frame, and two textures; all [S, S]."""

    x: FloatArray
    y: FloatArray
    fine: FloatArray
    coarse: FloatArray

    def band(self, lowest: float, highest: float) -> tuple[slice, Canvas]:
        """Cut out the rows that reach into a range of y: a level touches few of them."""
        rows = np.flatnonzero((self.y.max(axis=1) > lowest) & (self.y.min(axis=1) < highest))
        cut = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)
        return cut, Canvas(self.x[cut], self.y[cut], self.fine[cut], self.coarse[cut])


def render(spine: Spine, size: int, finding: Finding | None = None) -> FloatArray:
    """Paint the spine's ideal signal, before any scanner touched it.

    Args:
        spine: the anatomy.
        size: pixels on a side.
        finding: what to plant; None paints the normal spine.

    Returns:
        float64 [size, size], 0 to about 1.
    """
    canvas = make_canvas(spine, size)
    image = _soft_tissue(canvas, spine)
    image = _canal(image, canvas, spine, finding)
    for level, centre in enumerate(level_centres(spine)):
        reach = 1.1 * spine.spacing
        rows, band = canvas.band(centre - reach, centre + 1.2 * reach)
        if rows.stop == 0:
            continue
        planted = finding if finding is not None and finding.level == level else None
        part = _spinous_process(image[rows], band, spine, centre)
        part = _disc(part, band, spine, level, planted)
        image[rows] = _body(part, band, spine, level, planted)
    image = np.where(canvas.x > spine.skin, spine.tissue["air"], image)
    return np.clip(image, 0, None)


def make_canvas(spine: Spine, size: int) -> Canvas:
    """Compute the phantom's coordinates of each pixel."""
    rng = np.random.default_rng(spine.texture_seed)
    yy, xx = np.mgrid[0:size, 0:size] / (size - 1) * 2 - 1
    cos, sin = np.cos(spine.tilt), np.sin(spine.tilt)
    x = (cos * xx + sin * yy - spine.shift_x) / spine.zoom
    y = (-sin * xx + cos * yy - spine.shift_y) / spine.zoom
    coarse = gaussian_filter(rng.normal(0, 1, (size, size)), 3 * size / 128)
    fine = gaussian_filter(rng.normal(0, 1, (size, size)), 1.2 * size / 128)
    return Canvas(x, y, fine / fine.std(), coarse / coarse.std())


def _soft(distance: FloatArray, width: float) -> FloatArray:
    """Return 1 where distance < 1 and 0 beyond, with a soft edge."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - 1) / width, -30, 30))))


def superellipse(u: FloatArray, v: FloatArray, power: float) -> FloatArray:
    """Return a value below 1 inside a superellipse, 1 on it and above 1 outside."""
    return np.asarray(np.abs(u) ** power + np.abs(v) ** power)


def _blend(image: FloatArray, colour: FloatArray | float, alpha: FloatArray) -> FloatArray:
    return np.asarray(image * (1 - alpha) + colour * alpha)


def _soft_tissue(c: Canvas, spine: Spine) -> FloatArray:
    """Paint abdomen, great vessel, back muscle with fat streaks, subcutaneous fat."""
    t, column = spine.tissue, spine.column(c.y)
    depth = spine.half_depth * (1 + spine.taper * c.y)
    image: FloatArray = t["abdomen"] * (1 + 0.22 * c.coarse + 0.05 * c.fine)
    vessel = np.abs(c.x - (column - depth - 0.10)) < 0.045
    image = np.where(vessel, t["ligament"] * (1 + 0.2 * c.fine), image)
    posterior = _soft(1 - (c.x - (column + depth + spine.gap)) * 10, 0.15)
    rng = np.random.default_rng(spine.texture_seed + 1)
    pixel = c.x.shape[0] / 128
    streaks = gaussian_filter((rng.random(c.x.shape) > 1 - 0.07 / pixel).astype(float), 0.8 * pixel)
    muscle = t["muscle"] * (1 + 0.10 * c.fine) + 0.35 * pixel * t["fat"] * streaks
    image = _blend(image, muscle, posterior)
    return np.where(c.x > spine.skin - spine.fat, t["fat"] * (1 + 0.03 * c.fine), image)


def across_canal(c: Canvas, spine: Spine) -> FloatArray:
    """Return the place across the canal: -1 at its anterior wall, 1 at its posterior one."""
    centre = (
        spine.column(c.y) + spine.half_depth * (1 + spine.taper * c.y) + spine.gap + spine.canal
    )
    return (c.x - centre) / spine.canal


def _canal(image: FloatArray, c: Canvas, spine: Spine, finding: Finding | None) -> FloatArray:
    """Paint epidural fat, fluid, the cord down to the conus, and nerve roots below it."""
    t, across = spine.tissue, across_canal(c, spine)
    image = _blend(image, 0.5 * (t["ligament"] + t["fat"]), _soft(np.abs(across) / 1.35, 0.08))
    inside = _soft(np.abs(across), 0.08)
    image = _blend(image, t["csf"] * (1 + 0.02 * c.fine), inside)
    above_conus = np.clip((spine.conus - c.y) * 6 + 0.5, 0, 1)
    half_width = spine.cord * above_conus
    cord = _soft(np.abs(across) / np.maximum(half_width, 1e-3), 0.12) * (half_width > 1e-3)
    signal = t["cord"] * (1 + 0.03 * c.fine)
    if finding is not None and finding.kind == "cord":
        along = (c.y - finding.v) / finding.extent
        signal = signal + finding.amplitude * np.exp(-(((across / 0.32) ** 2 + along**2) ** 2))
    image = _blend(image, signal, cord)
    strands = (np.sin(across * 9 + 2 * c.y) > 0.35) & (across > 0)
    return _blend(image, t["root"], 0.8 * inside * (1 - above_conus) * strands)


def _spinous_process(image: FloatArray, c: Canvas, spine: Spine, y: float) -> FloatArray:
    x = float(spine.column(np.asarray(y))) + spine.half_depth * (1 + spine.taper * y)
    dx = c.x - (x + 2 * spine.canal + spine.gap + 0.15)
    dy = c.y - (y + 0.10) - 0.35 * dx
    alpha = _soft(superellipse(dx / 0.12, dy / 0.038, 2.5), 0.2)
    return _blend(image, spine.tissue["vertebra"] * 0.95, alpha)


def _local(c: Canvas, spine: Spine, y: float) -> tuple[FloatArray, FloatArray]:
    """Turn the picture's coordinates into those along and across the column at height y."""
    x, angle = float(spine.column(np.asarray(y))), spine.lean(y)
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * (c.x - x) - sin * (c.y - y), sin * (c.x - x) + cos * (c.y - y)


def disc_outline(
    c: Canvas, spine: Spine, level: int, planted: Finding | None
) -> tuple[FloatArray, FloatArray, float, float]:
    """Return where the disc below a vertebra is.

    Args:
        c: the picture.
        spine: the anatomy.
        level: of the vertebra.
        planted: at this level; 'disc' lowers it.

    Returns:
        Coordinates along and across the disc, half its length, half its height.
    """
    above = float(level_centres(spine)[level])
    y = above + 0.5 * spine.spacing * (1 + spine.taper * above * 0.5)
    u, v = _local(c, spine, y)
    depth = spine.half_depth * (1 + spine.taper * above)
    height = float(spine.disc_height[level])
    if planted and planted.kind == "disc":
        height = height * planted.height
    half = (0.5 - spine.half_height) * spine.spacing * 1.12 * height * (1 + spine.taper * above)
    return u, v, depth, half


def _disc(
    image: FloatArray, c: Canvas, spine: Spine, level: int, planted: Finding | None
) -> FloatArray:
    """Paint the disc below a vertebra; planted: 'disc' (degenerated) or 'herniation'."""
    t = spine.tissue
    u, v, depth, half = disc_outline(c, spine, level, planted)
    signal = spine.disc_signal[level]
    kind = planted.kind if planted else ""
    if planted and kind == "disc":
        signal = planted.amplitude
    if kind == "herniation":
        signal = min(signal, 0.72)  # a disc that herniates is a worn one
    bulge = spine.disc_bulge[level]
    alpha = _soft(superellipse((u - bulge / 2) / (depth + bulge / 2), v / half, 2.6), 0.12)
    nucleus = np.exp(-(((u / (depth * 0.62)) ** 2 + (v / (half * 0.75)) ** 2) ** 1.5))
    if kind == "disc":
        nucleus = nucleus * 0.6
    colour = t["annulus"] + (t["nucleus"] * signal - t["annulus"]) * nucleus
    image = _blend(image, colour, alpha)
    if planted and kind == "herniation":
        above = float(level_centres(spine)[level])
        y = above + 0.5 * spine.spacing * (1 + spine.taper * above * 0.5)
        reach = planted.extent * spine.canal
        x = float(spine.column(np.asarray(y))) + depth + spine.gap + reach
        dx, dy = (c.x - x) / (reach + spine.gap), (c.y - y - planted.v) / planted.radius
        image = _blend(image, t["annulus"] * 1.15, _soft(superellipse(dx, dy, 2.2), 0.15))
    return image


def body_outline(
    c: Canvas, spine: Spine, level: int, planted: Finding | None
) -> tuple[FloatArray, FloatArray, float, FloatArray]:
    """Return where a vertebral body is.

    Args:
        c: the picture.
        spine: the anatomy.
        level: of the vertebra.
        planted: at this level; 'fracture' lowers and wedges it.

    Returns:
        Coordinates along and across the body, half its depth, half its height at each pixel.
    """
    y = float(level_centres(spine)[level])
    u, v = _local(c, spine, y)
    depth = spine.half_depth * (1 + spine.taper * y)
    height, wedge = _normal_height(spine, level), float(spine.wedge[level])
    if planted and planted.kind == "fracture":
        wedge, height = planted.wedge, height * planted.height
    # A positive wedge lowers the anterior side (u < 0); end plates are concave.
    half = np.maximum(height * (1 + wedge * u / depth), 1e-3)
    return u, v, depth, half * (1 - 0.10 * np.clip(1 - (u / depth) ** 2, 0, 1))


def _normal_height(spine: Spine, level: int) -> float:
    y = float(level_centres(spine)[level])
    scale = spine.half_height * spine.spacing * spine.vertebra_height[level]
    return float(scale * (1 + spine.taper * y))


def _body(
    image: FloatArray, c: Canvas, spine: Spine, level: int, planted: Finding | None
) -> FloatArray:
    """Paint a vertebral body, cortex and vein; planted: 'lesion', 'fracture' or 'oedema'."""
    t, normal = spine.tissue, _normal_height(spine, level)
    u, v, depth, half = body_outline(c, spine, level, planted)
    kind = planted.kind if planted else ""
    cortex = _soft(superellipse(u / (depth * 1.06), v / (half * 1.10), 4), 0.10)
    image = _blend(image, t["ligament"], cortex)
    marrow = t["vertebra"] * spine.vertebra_signal[level] * (1 + 0.05 * c.fine + 0.03 * c.coarse)
    vein = ((u - depth * 0.75) / (depth * 0.25)) ** 2 + (v / (normal * 0.12)) ** 2
    marrow = marrow + (0.12 if spine.contrast == "T2" else -0.10) * np.exp(-vein)
    if planted and kind == "oedema":
        marrow = marrow + planted.amplitude * (1 + 0.1 * c.coarse)
    if planted and kind == "lesion":
        du, dv = u - planted.u * depth, v - planted.v * normal
        spot = (du / planted.radius) ** 2 + (dv / (planted.radius * planted.aspect)) ** 2
        marrow = marrow + planted.amplitude * _soft(spot, 0.25)
    return _blend(image, marrow, _soft(superellipse(u / depth, v / half, 4), 0.10))


def render_axial(rng: np.random.Generator, size: int) -> FloatArray:
    """Paint a plain axial slice: the wrong plane, which shows no sagittal column."""
    yy, xx = np.mgrid[0:size, 0:size] / (size - 1) * 2 - 1
    x, y = xx + rng.uniform(-0.1, 0.1), yy + rng.uniform(-0.1, 0.1)
    t = TISSUES["T2"]
    texture = gaussian_filter(rng.normal(0, 1, (size, size)), 2.5 * size / 128)
    texture = texture / texture.std()
    skin = (x / rng.uniform(0.8, 0.95)) ** 2 + (y / rng.uniform(0.6, 0.75)) ** 2
    image = np.where(skin < 1, t["fat"], t["air"])
    image = np.where(skin < 0.75, t["abdomen"] * (1 + 0.25 * texture), image)
    for side in (-0.25, 0.25):
        muscle = ((x - side) / 0.2) ** 2 + ((y - 0.32) / 0.16) ** 2 < 1
        image = np.where(muscle, t["muscle"] * (1 + 0.1 * texture), image)
    body = (x / 0.24) ** 2 + ((y + 0.02) / 0.18) ** 2 < 1
    image = np.where(body, t["vertebra"] * (1 + 0.06 * texture), image)
    return np.where((x / 0.11) ** 2 + ((y - 0.22) / 0.07) ** 2 < 1, t["csf"], image)

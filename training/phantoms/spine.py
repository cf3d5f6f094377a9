"""Draw the anatomy of a sagittal spine phantom, and what is planted in it, as numbers.

Not a simulation of MR physics: a controllable picture. Coordinates run from -1 to 1 over the field
of view, x from anterior to posterior, y from head to foot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantoms.kinds import FINDINGS

FloatArray = NDArray[np.floating]

N_LEVELS = 11
_TOP = -1.45  # the first vertebra starts above the picture, which cuts the column anywhere

# Relative signal of each tissue, 1 the brightest; read off lumbar turbo-spin-echo images.
TISSUES: dict[str, dict[str, float]] = {
    "T2": {
        "vertebra": 0.42,
        "nucleus": 0.62,
        "annulus": 0.16,
        "csf": 0.92,
        "cord": 0.40,
        "fat": 0.80,
        "muscle": 0.26,
        "air": 0.015,
        "ligament": 0.10,
        "abdomen": 0.34,
        "root": 0.55,
    },
    "T1": {
        "vertebra": 0.55,
        "nucleus": 0.36,
        "annulus": 0.22,
        "csf": 0.17,
        "cord": 0.40,
        "fat": 0.95,
        "muscle": 0.36,
        "air": 0.015,
        "ligament": 0.10,
        "abdomen": 0.40,
        "root": 0.28,
    },
}


@dataclass(frozen=True)
class Spine:
    """One person's spine in the field of view; lengths in half fields, arrays per level."""

    contrast: str
    tissue: dict[str, float]
    zoom: float
    tilt: float
    shift_x: float
    shift_y: float
    curve: tuple[float, float, float]  # amplitude, frequency, phase of the column's sine
    spacing: float
    offset: float
    half_depth: float
    half_height: float
    taper: float
    vertebra_height: FloatArray
    vertebra_signal: FloatArray
    disc_height: FloatArray
    disc_signal: FloatArray
    disc_bulge: FloatArray
    wedge: FloatArray
    canal: float
    gap: float
    cord: float
    conus: float
    skin: float
    fat: float
    texture_seed: int

    def column(self, y: FloatArray) -> FloatArray:
        """Return the x of the vertebral centres at height y."""
        amplitude, frequency, phase = self.curve
        return np.asarray(-0.05 + amplitude * np.sin(np.pi * frequency * y + phase))

    def lean(self, y: float) -> float:
        """Return the angle of the column at height y, in radians."""
        amplitude, frequency, phase = self.curve
        slope = amplitude * np.pi * frequency * np.cos(np.pi * frequency * y + phase)
        return float(np.arctan(slope))


@dataclass(frozen=True)
class Finding:
    """One planted finding; only the fields that its kind uses differ from the defaults."""

    kind: str
    level: int = -1
    u: float = 0.0
    v: float = 0.0
    radius: float = 0.0
    aspect: float = 1.0
    amplitude: float = 0.0
    height: float = 1.0
    wedge: float = 0.0
    extent: float = 0.0


def draw_spine(rng: np.random.Generator) -> Spine:
    """Draw one normal spine.

    Ranges are those of lumbar anatomy at a field of view near 250 mm: centre spacing 31-41 mm,
    depth 30-38 mm, canal 9-15 mm.
    """
    contrast = "T2" if rng.random() < 0.6 else "T1"
    signal = {name: v * (1 + rng.uniform(-0.1, 0.1)) for name, v in TISSUES[contrast].items()}
    levels = N_LEVELS
    return Spine(
        contrast=contrast,
        tissue=signal,
        zoom=rng.uniform(0.88, 1.14),
        tilt=rng.normal(0, 0.05),
        shift_x=rng.uniform(-0.10, 0.10),
        shift_y=rng.uniform(-0.15, 0.15),
        curve=(rng.uniform(0.03, 0.14), rng.uniform(0.75, 1.15), rng.uniform(-0.6, 0.6)),
        spacing=rng.uniform(0.27, 0.33),
        offset=rng.uniform(0, 1),
        half_depth=rng.uniform(0.135, 0.175),
        half_height=rng.uniform(0.36, 0.40),
        taper=rng.uniform(0.05, 0.16),
        vertebra_height=1 + rng.normal(0, 0.035, levels),
        vertebra_signal=1 + rng.normal(0, 0.03, levels),
        disc_height=np.clip(1 + rng.normal(0, 0.10, levels), 0.7, 1.3),
        # Discs darken with age; that much is normal.
        disc_signal=np.clip(1 - np.abs(rng.normal(0, 0.14, levels)), 0.62, 1),
        disc_bulge=np.clip(rng.normal(0, 0.012, levels), -0.01, 0.03),
        wedge=np.clip(rng.normal(0, 0.04, levels), -0.1, 0.1),
        canal=rng.uniform(0.055, 0.075),
        gap=rng.uniform(0.02, 0.035),
        cord=rng.uniform(0.40, 0.52),
        conus=rng.uniform(-0.1, 0.5),
        skin=rng.uniform(0.62, 0.80),
        fat=rng.uniform(0.08, 0.20),
        texture_seed=int(rng.integers(1 << 31)),
    )


def level_centres(spine: Spine) -> FloatArray:
    """Return the y of each vertebral centre, [N_LEVELS]; spacing grows from head to foot."""
    centres = np.empty(N_LEVELS)
    y = _TOP + spine.offset * spine.spacing
    for level in range(N_LEVELS):
        centres[level] = y
        y += spine.spacing * (1 + spine.taper * y * 0.5)
    return centres


def draw_finding(spine: Spine, kind: str, rng: np.random.Generator) -> Finding:
    """Draw a finding of one kind at a level that is inside the picture."""
    in_view = np.abs(level_centres(spine) * spine.zoom + spine.shift_y) < 0.75
    level = int(rng.choice(np.flatnonzero(in_view)))
    # Fluid and oedema are bright on T2 and dark on T1.
    sign = 1 if spine.contrast == "T2" else -1
    if kind == "lesion":
        direction = sign if rng.random() < 0.75 else -0.8 * sign
        u, v, radius = rng.uniform(-0.45, 0.45), rng.uniform(-0.35, 0.35), rng.uniform(0.04, 0.085)
        return Finding(
            kind, level, u, v, radius, rng.uniform(0.8, 1.2), direction * rng.uniform(0.18, 0.40)
        )
    if kind == "fracture":
        return Finding(kind, level, wedge=rng.uniform(0.35, 0.6), height=rng.uniform(0.6, 0.8))
    if kind == "disc":
        return Finding(kind, level, amplitude=rng.uniform(0.2, 0.4), height=rng.uniform(0.45, 0.75))
    if kind == "herniation":
        extent, v = rng.uniform(0.45, 0.9), rng.uniform(-0.02, 0.03)
        return Finding(kind, level, v=v, extent=extent, radius=rng.uniform(0.045, 0.075))
    if kind == "oedema":
        return Finding(kind, level, amplitude=sign * rng.uniform(0.15, 0.35))
    if kind == "cord":
        # Above the conus, or there would be no cord to change.
        v = rng.uniform(-0.6, min(0.1, spine.conus - 0.15))
        amplitude = sign * rng.uniform(0.18, 0.35)
        return Finding(kind, v=v, extent=rng.uniform(0.06, 0.14), amplitude=amplitude)
    raise ValueError(f"finding {kind!r} is none of {', '.join(FINDINGS)}")

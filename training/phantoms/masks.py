"""Label the tissues of a phantom: what a person would have outlined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.phantoms.painting import (
    across_canal,
    body_outline,
    disc_outline,
    make_canvas,
    superellipse,
)
from training.phantoms.spine import N_LEVELS, Finding, Spine

VERTEBRA, CANAL, DISC = 1, 2, 3  # as in the masks of SPIDER


def render_labels(spine: Spine, size: int, finding: Finding | None = None) -> NDArray[np.uint8]:
    """Label each pixel: 1 vertebral body, 2 canal, 3 disc, 0 anything else.

    Args:
        spine: the anatomy.
        size: pixels on a side.
        finding: planted; a fracture and a worn disc change the outlines.

    Returns:
        [size, size].
    """
    canvas = make_canvas(spine, size)
    labels = np.zeros((size, size), np.uint8)
    labels[np.abs(across_canal(canvas, spine)) < 1] = CANAL
    for level in range(N_LEVELS):
        planted = finding if finding is not None and finding.level == level else None
        u, v, length, height = disc_outline(canvas, spine, level, planted)
        labels[superellipse(u / length, v / height, 2.6) < 1] = DISC
    for level in range(N_LEVELS):
        planted = finding if finding is not None and finding.level == level else None
        u, v, depth, half = body_outline(canvas, spine, level, planted)
        labels[superellipse(u / depth, v / half, 4) < 1] = VERTEBRA
    return labels

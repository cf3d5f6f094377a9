"""What holds of any bytes: they are slices in range, or a known error."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import HealthCheck, settings

from preprocessing import ImageError, InputSpec, read_frames, to_input

SMALL = InputSpec(size=16)
# Deadlines are those of the code under test.
ordinary = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_slices_or_error(data: bytes) -> None:
    """Read at most three frames as the service does, and check their pixels and inputs."""
    try:
        images = list(islice(read_frames(data), 3))
    except ImageError:
        return
    assert images
    for image in images:
        x = to_input(image, SMALL)
        assert np.isfinite(image.pixels).all()
        assert image.pixels.dtype == np.float32
        assert 0 <= x.min() <= x.max() <= 1

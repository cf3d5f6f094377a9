from __future__ import annotations

import numpy as np

from preprocessing import InputSpec, to_input
from training.evaluation.foreign import FOREIGN_KINDS, foreign_images


def test_every_kind_is_made_as_often_as_asked_and_the_same_for_the_same_seed() -> None:
    first, again = (list(foreign_images(2, seed=1)) for _ in range(2))
    assert [made.kind for made in first] == [kind for kind in FOREIGN_KINDS for _ in range(2)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image.pixels, b.image.pixels)
    spec = InputSpec(size=64)
    inputs = {to_input(made.image, spec).tobytes() for made in first}
    assert len(inputs) == len(first)


def test_images_of_one_file_count_as_one_and_drawings_each_as_its_own() -> None:
    origins: dict[str, set[str]] = {}
    for made in foreign_images(4, seed=2):
        origins.setdefault(made.kind, set()).add(made.origin)
    assert len(origins["head, sagittal MR"]) == 1
    assert len(origins["CT"]) == 3
    assert len(origins["knee (drawn)"]) == 4

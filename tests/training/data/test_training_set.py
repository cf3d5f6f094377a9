from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.usual_slices import usual_set
from training.data.training_set import NO_LABEL


def test_slices_are_read_by_their_number_in_the_whole_collection() -> None:
    data = usual_set()
    part = data.slices(np.array([7, 2]))
    assert part.dtype == np.float32
    np.testing.assert_array_equal(part, data.x[[7, 2], 0].astype(np.float32))


def test_a_series_counts_by_the_root_of_its_slices() -> None:
    # Four slices of one series and one of another: (2, 2, 2, 2, 4) / 12, so 2 : 1 and not 4 : 1.
    data = replace(usual_set(5), series=np.array([9, 9, 9, 9, 3]))
    assert data.draw_weights.tolist() == pytest.approx([1 / 6] * 4 + [1 / 3])
    assert data.draw_weights.sum() == pytest.approx(1)


def test_labelled_are_those_of_the_slices_to_train_on() -> None:
    data = usual_set(24, n_labelled=12)
    part = replace(data, train=np.arange(8, 20), series=data.series[8:20], kinds=data.kinds[8:20])
    assert part.labelled.tolist() == [8, 9, 10, 11]


def test_a_slice_labelled_as_background_all_over_is_a_labelled_one() -> None:
    data = usual_set(4, n_labelled=2)
    data.labels[1] = 0
    assert data.labelled.tolist() == [0, 1]
    assert (data.labels[2:] == NO_LABEL).all()

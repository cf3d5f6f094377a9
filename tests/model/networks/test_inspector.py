"""The second network's shapes and size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from model.networks.inspector import Inspector, _pool
from model.spec import InspectorConfig


@pytest.mark.parametrize(
    "config",
    [
        InspectorConfig(),
        InspectorConfig(size=64, channels=(4, 8, 16), hidden=8),
        InspectorConfig(size=32, channels=(4, 8, 12, 16), hidden=5, faults=("blur", "hole")),
    ],
)
def test_maps_have_half_the_side_and_faults_one_logit_each(config: InspectorConfig) -> None:
    half = config.size // 2
    seen = Inspector(config).eval()(torch.rand(2, 1, config.size, config.size))
    assert seen.anatomy.shape == (2, 4, half, half)
    assert seen.marks.shape == (2, 1, half, half)
    assert seen.faults.shape == (2, len(config.faults))
    assert seen.features.shape == (2, 2 * sum(config.channels))


def test_features_are_the_mean_and_the_spread_of_each_map() -> None:
    x = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]], [[3.0, 3.0], [3.0, 3.0]]]])
    # Means 0.5 and 3; variances 0.25 and 0, a millionth added.
    expected = [0.5, 3, math.sqrt(0.25 + 1e-6), 1e-3]
    assert _pool(x).tolist()[0] == pytest.approx(expected)


def test_the_default_network_has_496159_parameters() -> None:
    assert Inspector(InspectorConfig()).n_parameters == 496_159


@pytest.mark.parametrize(
    "wrong", [{"size": 100}, {"channels": (16, 32)}, {"hidden": 0}, {"channels": (16, 0, 32)}]
)
def test_a_shape_that_cannot_be_built_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not a multiple of 32|three stages"):
        InspectorConfig(**wrong)

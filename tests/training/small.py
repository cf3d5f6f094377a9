"""A network and a training small enough for tests."""

from __future__ import annotations

import torch

from model.spec import AutoencoderConfig, InspectorConfig
from training.config import FitConfig

NETWORK = AutoencoderConfig(size=32, channels=(4, 8, 16), latent=8)
INSPECTOR = InspectorConfig(size=64, channels=(4, 8, 16), hidden=8)
QUICK = FitConfig(
    steps=6,
    anatomy_steps=2,
    inspector_steps=4,
    batch_size=8,
    rounds=1,
    folds=3,
    remove_percent=10,
)


def weights(network: torch.nn.Module) -> dict[str, bytes]:
    """Take a network's parameters as bytes, to compare them to the last bit."""
    return {name: t.numpy().tobytes() for name, t in network.state_dict().items()}

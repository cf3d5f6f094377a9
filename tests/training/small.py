"""A network and a training small enough for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from model.spec import AutoencoderConfig, InspectorConfig
from training.config import FitConfig
from training.options import Options

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


def small_options(data: Path, masks: Path, *, name: str, command: str = "") -> Options:
    """A run of the networks above."""
    return Options(
        data=(str(data),),
        name=name,
        network=NETWORK,
        inspector=INSPECTOR,
        config=QUICK,
        device="cpu",
        threads=1,
        exclude=(),
        description="",
        command=command,
        masks=str(masks),
    )


def weights(network: torch.nn.Module) -> dict[str, bytes]:
    """Take a network's parameters as bytes, to compare them to the last bit."""
    return {name: t.numpy().tobytes() for name, t in network.state_dict().items()}

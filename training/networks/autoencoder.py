"""Train the autoencoder: its loss, its learning rate, its augmentation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.networks.autoencoder import Autoencoder
from model.networks.detector import Reduce
from model.spec import AutoencoderConfig
from training.config import FitConfig
from training.data.training_set import TrainingSet
from training.networks import loop


def fit_autoencoder(
    data: TrainingSet,
    network_config: AutoencoderConfig,
    config: FitConfig,
    *,
    seed: tuple[int, ...],
    device: str = "cpu",
    folder: Path | None = None,
    on_stretch: loop.OnStretch = lambda metrics: None,
) -> Autoencoder:
    """Train from a cold start, or from a checkpoint of the same training.

    The last step's weights are the result, not the best of any set: the cosine ends at a learning
    rate of zero, and scores of usual slices must not be flattered by choosing on them.

    Args:
        data: slices.
        network_config: shape of the network.
        config: steps, batch size, learning rate, augmentation.
        seed: of everything random.
        device: "cpu" or "cuda". Only a CPU gives the same weights for the same seed.
        folder: for checkpoints; a training found in it is continued with the same result.
        on_stretch: called with every 100 steps.

    Raises:
        Diverged: the loss is no longer finite.
        NotResumable: a checkpoint is damaged or of another training.
    """
    loop.seed_torch(*seed)
    network = Autoencoder(network_config).to(device)
    reduce = Reduce(data.x.shape[-1], network_config.size).to(device)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = rng.choice(data.train, config.batch_size, p=data.draw_weights)
        with torch.no_grad():
            x = reduce(torch.from_numpy(data.slices(chosen))[:, None].to(device))
            x = augment(x, config)
        return functional.mse_loss(network(x), x)

    training = loop.Training(
        "autoencoder",
        network.train(),
        torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        ),
        config.steps,
        lambda step: learning_rate(step, config),
        loss,
        seed,
        advice="; lower --learning-rate",
    )
    loop.run(training, folder, on_stretch)
    return network.eval()


def learning_rate(step: int, config: FitConfig) -> float:
    """Warm up linearly, then follow half a cosine to zero."""
    warmup = min(config.warmup_steps, config.steps // 10)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def augment(x: Tensor, config: FitConfig) -> Tensor:
    """Shift, scale and brighten each slice a little; [B, 1, S, S] in [0, 1], same out."""
    # Drawn on the CPU: the same numbers whatever the device.
    draws = (torch.rand(5, len(x)) * 2 - 1).to(x.device)
    zoom = 1 + config.zoom * draws[0]
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = zoom
    theta[:, 0, 2], theta[:, 1, 2] = 2 * config.shift * draws[1], 2 * config.shift * draws[2]
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    # Zeros outside, as the padding of preprocessing is.
    x = functional.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
    gain = (1 + config.gain * draws[3]).view(-1, 1, 1, 1)
    gamma = (1 + config.gain * draws[4]).view(-1, 1, 1, 1)
    return (gain * x.clamp(0, 1) ** gamma).clamp(0, 1)

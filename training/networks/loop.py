"""Train a network step by step, with checkpoints: what both networks have in common."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.errors import Diverged
from training.networks.checkpoints import load_checkpoint, save_checkpoint
from training.steps import STRETCH, StretchMetrics

OnStretch = Callable[[StretchMetrics], None]


@dataclass(frozen=True)
class Training:
    """One network and how it learns.

    Args:
        name: of the network: "autoencoder" or "inspector".
        network: on its device.
        optimizer: of its parameters.
        n_steps: in all.
        learning_rate: of a step, counted from 0.
        loss: takes the number of a step and its random numbers; returns a scalar.
        seed: of everything random.
        largest_gradient: norm to which longer gradients are cut.
        advice: what to do when the loss is no longer finite.
    """

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    n_steps: int
    learning_rate: Callable[[int], float]
    loss: Callable[[int, np.random.Generator], Tensor]
    seed: tuple[int, ...]
    largest_gradient: float = math.inf
    advice: str = ""


def run(training: Training, folder: Path | None, on_stretch: OnStretch) -> None:
    """Take all steps, or those that are left since the last checkpoint, with the same result.

    Args:
        training: the network and how it learns.
        folder: for a checkpoint every 100 steps; none are kept without it.
        on_stretch: called with every 100 steps.

    Raises:
        Diverged: the loss is no longer finite.
        NotResumable: the checkpoint is damaged or of another training.
    """
    network, optimizer = training.network, training.optimizer
    checkpoint = folder / f"{training.name}.safetensors" if folder else None
    done = 0
    if checkpoint is not None and checkpoint.exists():
        done = load_checkpoint(checkpoint, network, optimizer)
    losses, started = list[float](), time.perf_counter()
    for step in range(done, training.n_steps):
        rng = np.random.default_rng([*training.seed, step])
        seed_torch(*training.seed, step)
        rate = training.learning_rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = training.loss(step, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if math.isfinite(training.largest_gradient):
            nn.utils.clip_grad_norm_(network.parameters(), training.largest_gradient)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise Diverged(
                f"the {training.name}'s loss is {losses[-1]} in step {step + 1}{training.advice}"
            )
        if (step + 1) % STRETCH == 0 or step + 1 == training.n_steps:
            seconds, mean = round(time.perf_counter() - started, 3), float(np.mean(losses))
            on_stretch(StretchMetrics(training.name, step + 1, rate, mean, seconds))
            losses, started = [], time.perf_counter()
            if checkpoint is not None:
                save_checkpoint(checkpoint, network, optimizer, step + 1)


def seed_torch(*parts: int) -> None:
    """Seed torch from (seed, round, fold, step): a resumed run needs no generator state."""
    torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))

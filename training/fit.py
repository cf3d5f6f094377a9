"""Train one autoencoder: the loop, its augmentation, its checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from model.autoencoder import Autoencoder
from model.scoring import reconstruction_mse
from model.spec import AutoencoderConfig
from training.config import FitConfig
from training.errors import Diverged, NotResumable

FloatArray = NDArray[np.float32]

_SCORING_BATCH = 32


@dataclass(frozen=True)
class EpochMetrics:
    """One line of metrics.csv. The training MSE is that of augmented slices, as it happened."""

    round: int
    epoch: int
    learning_rate: float
    train_mse: float
    validation_mse: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """A trained network and how it got there."""

    network: Autoencoder
    history: tuple[EpochMetrics, ...]


def fit(
    x_train: FloatArray,
    x_validation: FloatArray,
    network_config: AutoencoderConfig,
    config: FitConfig,
    *,
    round_number: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
) -> Fitted:
    """Train from a cold start, or from a checkpoint of the same training.

    The last epoch's weights are the result, not the best of the validation set: the cosine ends at
    a learning rate of zero, and a threshold taken from the same patients must not be flattered by
    choosing on them.

    Args:
        x_train: slices to learn, [N, 1, S, S] in [0, 1].
        x_validation: slices to watch, same form.
        network_config: shape of the network.
        config: how to train it.
        round_number: of the cleaning; each round has random numbers of its own.
        device: "cpu" or "cuda". Only a CPU gives the same weights for the same seed.
        checkpoint: file to write every few epochs, and to go on from if it exists.
        on_epoch: called after every epoch, before its checkpoint, and for those of a checkpoint.

    Raises:
        Diverged: the loss is no longer finite.
        NotResumable: the checkpoint is damaged or of another training.
    """
    _seed(config.seed, round_number)
    network = Autoencoder(network_config).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    train, history = torch.from_numpy(x_train).to(device), list[EpochMetrics]()
    if checkpoint is not None and checkpoint.exists():
        history = load_checkpoint(checkpoint, network, optimizer)
        for metrics in history:
            on_epoch(metrics)
    for epoch in range(len(history) + 1, config.epochs + 1):
        started = time.perf_counter()
        _seed(config.seed, round_number, epoch)
        train_mse = _train_epoch(network, optimizer, train, config, epoch)
        validation_mse = float(reconstruction_errors(network, x_validation).mean())
        if not math.isfinite(train_mse + validation_mse):
            raise Diverged(f"the loss is {train_mse} in epoch {epoch}; lower --learning-rate")
        rate, seconds = optimizer.param_groups[0]["lr"], time.perf_counter() - started
        metrics = EpochMetrics(
            round_number, epoch, rate, train_mse, validation_mse, round(seconds, 3)
        )
        history.append(metrics)
        on_epoch(metrics)
        is_due = epoch % config.checkpoint_epochs == 0 or epoch == config.epochs
        if checkpoint is not None and is_due:
            save_checkpoint(checkpoint, network, optimizer, history)
    return Fitted(network, tuple(history))


def _train_epoch(
    network: Autoencoder,
    optimizer: torch.optim.Optimizer,
    train: Tensor,
    config: FitConfig,
    epoch: int,
) -> float:
    """Go once through the training slices; returns their mean MSE."""
    network.train()
    order = torch.randperm(len(train))
    n_batches = max(1, len(train) // config.batch_size)
    total = 0.0
    # Even batches: batch normalisation cannot use a last batch of one slice.
    for batch, indices in enumerate(order.tensor_split(n_batches)):
        done = epoch - 1 + batch / n_batches
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, config)
        x = augment(train[indices.to(train.device)], config)
        loss = functional.mse_loss(network(x), x)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        total += loss.item() * len(indices)
    return total / len(train)


def learning_rate(done: float, config: FitConfig) -> float:
    """Warm up linearly, then follow half a cosine to zero; `done` counts epochs, with fractions."""
    warmup = min(config.warmup_epochs, config.epochs / 10)
    if done < warmup:
        return config.learning_rate * (done + 0.1) / (warmup + 0.1)
    progress = (done - warmup) / (config.epochs - warmup)
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
    # The gradient is never taken through x, so a power of zero does no harm.
    return (gain * x.clamp(0, 1) ** gamma).clamp(0, 1)


def reconstruction_errors(network: Autoencoder, x: FloatArray) -> NDArray[np.float64]:
    """Score slices with the network as it stands: [N, 1, S, S] -> MSE, [N]."""
    device = next(network.parameters()).device
    network.eval()
    scores = []
    with torch.inference_mode():
        for start in range(0, len(x), _SCORING_BATCH):
            part = x[start : start + _SCORING_BATCH]
            x_hat = network(torch.from_numpy(part).to(device)).float().cpu().numpy()
            scores.append(reconstruction_mse(part, np.ascontiguousarray(x_hat)))
    return np.concatenate(scores)


def save_checkpoint(
    path: Path,
    network: Autoencoder,
    optimizer: torch.optim.Optimizer,
    history: list[EpochMetrics],
) -> None:
    """Write weights, optimiser and history into one safetensors file, aside and then renamed."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    aside = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, aside, {"history": json.dumps([asdict(m) for m in history])})
    aside.replace(path)


def load_checkpoint(
    path: Path, network: Autoencoder, optimizer: torch.optim.Optimizer
) -> list[EpochMetrics]:
    """Read what `save_checkpoint` wrote into the network and the optimiser; returns the history.

    Raises:
        NotResumable: the file is damaged or of another network.
    """
    try:
        with safe_open(path, "pt") as file:
            history = [EpochMetrics(**m) for m in json.loads(file.metadata()["history"])]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no iterator
        weights = {n.removeprefix("network."): t for n, t in tensors.items() if n[0] == "n"}
        network.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise NotResumable(
            f"{path.name} cannot be resumed from; delete it and run again"
        ) from error
    return history


def _seed(*parts: int) -> None:
    """Seed torch from (seed, round, epoch): a resumed run needs no generator state."""
    torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))

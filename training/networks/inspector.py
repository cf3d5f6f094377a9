"""Train the inspector: first the anatomy, then to find what is planted into the slices."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.inspector import Inspection, Inspector
from model.spec import InspectorConfig
from training.config import FitConfig
from training.data.training_set import NO_LABEL, TrainingSet
from training.errors import NotResumable, TooFewImages
from training.networks import loop
from training.networks.augmentation import augment_labelled, remap
from training.networks.planting import plant
from training.writing import aside

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]

# Weights of the losses, set once so that each starts near the same size; not tuned.
_ANATOMY_WEIGHT, _MARK_WEIGHT, _FAULT_WEIGHT = 0.3, 0.3, 4.0
# Labels that the network gave itself count less than those of people.
_OWN_LABEL_WEIGHT = 0.3
_CERTAIN = 0.6  # probability from which the network's own label is taken


def fit_inspector(
    data: TrainingSet,
    inspector_config: InspectorConfig,
    config: FitConfig,
    *,
    seed: tuple[int, ...],
    device: str = "cpu",
    folder: Path | None = None,
    on_stretch: loop.OnStretch = lambda metrics: None,
) -> Inspector:
    """Train from a cold start, or from a checkpoint of the same training.

    `config.anatomy_steps` steps learn to segment the labelled slices, with intensities remapped at
    random, so that T2 labels teach T1 too. The network then labels the slices that have none, and
    `config.inspector_steps` steps learn all its outputs: half of each batch gets a fault of the
    whole picture, a quarter local changes, a quarter stays as it is.

    Args:
        data: slices and labels.
        inspector_config: shape of the network.
        config: steps, batch size, learning rate.
        seed: of everything random.
        device: "cpu" or "cuda".
        folder: for checkpoints; a training found in it is continued with the same result.
        on_stretch: called with every 100 steps.

    Raises:
        TooFewImages: none of the slices to train on has labels.
        Diverged: the loss is no longer finite.
        NotResumable: a checkpoint is damaged or of another training.
    """
    if not len(data.labelled):
        raise TooFewImages(
            f"none of {len(data.train)} slices to train on has a mask; give masks of more patients,"
            " or none, and a model labels the tissues"
        )
    loop.seed_torch(*seed)
    network = Inspector(inspector_config).to(device)
    # In place; faster convolutions on a CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch takes it, its stub does not
    labels: ByteArray | None = None

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        nonlocal labels
        if step >= config.anatomy_steps and labels is None:
            is_later = step > config.anatomy_steps
            labels = _label_the_rest(network, data, device, folder, is_later=is_later)
        network.train()
        if labels is None:
            return _anatomy_step(network, data, config.batch_size, rng, device)
        return _full_step(network, data, labels, config.batch_size, rng, device)

    training = loop.Training(
        "inspector",
        network,
        torch.optim.AdamW(
            network.parameters(), lr=config.inspector_learning_rate, weight_decay=0.02
        ),
        config.anatomy_steps + config.inspector_steps,
        lambda step: learning_rate(step, config),
        loss,
        seed,
        largest_gradient=5.0,
    )
    loop.run(training, folder, on_stretch)
    return network.eval()


def learning_rate(step: int, config: FitConfig) -> float:
    """Constant for the anatomy; then half a cosine to zero."""
    warmup = min(1.0, (step + 1) / 20)
    progress = max(0.0, (step - config.anatomy_steps) / max(1, config.inspector_steps))
    return config.inspector_learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * progress))


def _anatomy_step(
    network: Inspector, data: TrainingSet, n_batch: int, rng: np.random.Generator, device: str
) -> Tensor:
    """Segment labelled slices of random contrast."""
    chosen = rng.choice(data.labelled, n_batch)
    x, labels = augment_labelled(data.slices(chosen), data.labels[chosen], rng)
    remapped = rng.random((n_batch, 1, 1)) < 0.7
    x = np.where(remapped, remap(x, rng), x)
    return anatomy_loss(network(_to_tensor(x, device)), labels, np.ones(n_batch))


def _full_step(
    network: Inspector,
    data: TrainingSet,
    labels: ByteArray,
    n_batch: int,
    rng: np.random.Generator,
    device: str,
) -> Tensor:
    """Segment, mark and name what was planted."""
    chosen = rng.choice(data.train, n_batch, p=data.draw_weights)
    usual, anatomy = augment_labelled(data.slices(chosen), labels[chosen], rng)
    planted = plant(usual, np.where(anatomy == NO_LABEL, 0, anatomy).astype(np.uint8), rng)
    weight = np.where(data.labels[chosen, 0, 0] == NO_LABEL, _OWN_LABEL_WEIGHT, 1.0)
    seen = network(_to_tensor(planted.x, device))
    faults = torch.from_numpy(planted.faults).to(device)
    fault_loss = functional.binary_cross_entropy_with_logits(seen.faults, faults)
    any_loss = functional.binary_cross_entropy_with_logits(
        seen.faults.logsumexp(dim=1), faults.amax(dim=1)
    )
    return (
        _ANATOMY_WEIGHT * anatomy_loss(seen, anatomy, weight * planted.keeps_anatomy)
        + _MARK_WEIGHT * mark_loss(seen, planted.changed, planted.is_marked)
        + _FAULT_WEIGHT * fault_loss
        + any_loss
    )


def anatomy_loss(seen: Inspection, labels: ByteArray, weight: NDArray[np.floating]) -> Tensor:
    """Cross entropy and soft Dice (Milletari et al., 2016) of the labelled slices."""
    device = seen.anatomy.device
    # The outputs have half the resolution: every second label is the one at their pixel.
    halved = labels[:, ::2, ::2].astype(np.int64)
    has_label = halved[:, 0, 0] != NO_LABEL
    target = torch.from_numpy(np.where(halved == NO_LABEL, 0, halved)).to(device)
    entropy = functional.cross_entropy(seen.anatomy, target, reduction="none").mean(dim=(1, 2))
    found = seen.anatomy.softmax(dim=1)[:, 1:]
    n_tissues = seen.anatomy.shape[1]
    wanted = functional.one_hot(target, n_tissues).permute(0, 3, 1, 2)[:, 1:].float()
    overlap = 2 * (found * wanted).sum(dim=(2, 3)) + 1
    dice = overlap / (found.sum(dim=(2, 3)) + wanted.sum(dim=(2, 3)) + 1)
    share = torch.from_numpy((weight * has_label).astype(np.float32)).to(device)
    return ((entropy + 1 - dice.mean(dim=1)) * share).sum() / share.sum().clamp(min=1)


def mark_loss(seen: Inspection, changed: FloatArray, is_marked: FloatArray) -> Tensor:
    """Cross entropy, focused where it is wrong (Lin et al., 2017), and soft Dice."""
    device = seen.marks.device
    target = functional.avg_pool2d(torch.from_numpy(changed)[:, None].to(device), 2)
    entropy = functional.binary_cross_entropy_with_logits(seen.marks, target, reduction="none")
    found = seen.marks.sigmoid()
    focused = 8 * (entropy * (found - target).abs()).mean(dim=(1, 2, 3))
    overlap = 2 * (found * target).sum(dim=(1, 2, 3)) + 4
    dice = overlap / (found.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3)) + 4)
    loss = 2 * entropy.mean(dim=(1, 2, 3)) + focused + 0.3 * (1 - dice)
    share = torch.from_numpy(is_marked).to(device)
    return (loss * share).sum() / share.sum().clamp(min=1)


def _label_the_rest(
    network: Inspector, data: TrainingSet, device: str, folder: Path | None, *, is_later: bool
) -> ByteArray:
    """Let the network label the training slices that have no labels; kept for a resumed run.

    Raises:
        NotResumable: what was kept is damaged; or it is gone, and `is_later`: the network has
            learned other things since, and would give other labels.
    """
    unlabelled = np.setdiff1d(data.train, data.labelled)
    if not len(unlabelled):
        return data.labels
    size = data.labels.shape[1]
    path = folder / "labels.npy" if folder else None
    if path is not None and (is_later or path.exists()):
        own = _read_labels(path, (len(unlabelled), size, size))
    else:
        network.eval()
        own = np.zeros((len(unlabelled), size, size), np.uint8)
        with torch.inference_mode():
            for start in range(0, len(unlabelled), 16):
                x = data.slices(unlabelled[start : start + 16])
                anatomy = network(_to_tensor(x, device)).anatomy.softmax(dim=1)
                fine = functional.interpolate(anatomy, scale_factor=2, mode="bilinear")
                certainty, tissue = fine.max(dim=1)
                kept = torch.where(certainty > _CERTAIN, tissue, 0)
                own[start : start + 16] = kept.cpu().numpy().astype(np.uint8)
        if path is not None:
            with aside(path) as part, part.open("wb") as file:
                np.save(file, own)
    return _Joined(data, unlabelled, own)  # type: ignore[return-value]  # read by index only


def _read_labels(path: Path, shape: tuple[int, ...]) -> ByteArray:
    """Map the kept labels into memory."""
    try:
        own: ByteArray = np.load(path, mmap_mode="r", allow_pickle=False)
        if own.shape != shape or own.dtype != np.uint8:
            raise ValueError(f"labels of {own.shape}, not {shape}")
    except (OSError, ValueError, EOFError) as error:
        raise NotResumable(
            f"{path.name} is missing or damaged; delete its folder and run again"
        ) from error
    return own


class _Joined:
    """Given labels and the network's own, read by index without copying either."""

    def __init__(self, data: TrainingSet, unlabelled: NDArray[np.int64], own: ByteArray) -> None:
        self._given, self._unlabelled, self._own = data.labels, unlabelled, own

    def __getitem__(self, chosen: NDArray[np.int64]) -> ByteArray:
        labels = np.array(self._given[chosen])
        places = np.searchsorted(self._unlabelled, chosen).clip(max=len(self._unlabelled) - 1)
        is_own = self._unlabelled[places] == chosen
        labels[is_own] = self._own[places[is_own]]
        return labels


def _to_tensor(x: FloatArray, device: str) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(x, np.float32))[:, None].to(device)
    return tensor.contiguous(memory_format=torch.channels_last)

"""Train a network to segment the anatomy alone, in all contrasts, from masks of one.

It learns from the slices with masks, labels the others itself, learns from both, and labels them
again. An inspector that learns its other tasks at the same time loses most of what this gains
(training/LOG.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.inspector import Inspector
from model.spec import InspectorConfig
from training.data.training_set import NO_LABEL, IndexArray, TrainingSet
from training.errors import TooFewImages
from training.networks import loop
from training.networks.augmentation import disturb, remap, vary_labelled

ByteArray = NDArray[np.uint8]

ROUNDS = 3
"""Of training; before the second and third the network labels what has no mask."""
STEPS = 800
"""In a round. With half as many, ten of 100 slices more were miscounted."""
_LEARNING_RATES = (3e-3, 2e-3, 2e-3)
_BATCH, _OF_MASKS = 16, 6
_REMAPPED = (0.7, 0.4, 0.4)  # share of the slices with a contrast drawn at random
_CERTAIN = 0.5  # probability from which the network's own label is taken; else none
_MOST_OWN = 4096  # slices that it labels itself: 150 MB at 192 pixels


def fit_anatomy(
    data: TrainingSet,
    config: InspectorConfig,
    *,
    seed: tuple[int, ...],
    steps: int = STEPS,
    on_stretch: loop.OnStretch = lambda metrics: None,
) -> Inspector:
    """Train from new weights; only the anatomy of the network's outputs is learned.

    Args:
        data: slices, some of them with labels.
        config: shape of the network.
        seed: of everything random.
        steps: of each of the three rounds.
        on_stretch: called with every 100 steps.

    Raises:
        TooFewImages: no slice has labels.
        Diverged: the loss is no longer finite.
    """
    if not len(data.labelled):
        raise TooFewImages(f"none of {len(data.train)} slices to train on has a mask")
    loop.seed_torch(*seed)
    network = Inspector(config)
    rest = np.setdiff1d(data.train, data.labelled)
    rng = np.random.default_rng(seed)
    rest = np.sort(rng.choice(rest, min(len(rest), _MOST_OWN), replace=False))
    for number in range(ROUNDS if len(rest) else 1):
        own = label_by_itself(network, data, rest) if number else None
        training = loop.Training(
            "anatomy",
            network,
            torch.optim.AdamW(network.parameters(), weight_decay=0.02),
            steps,
            _cosine(_LEARNING_RATES[number], steps),
            _loss(network, data, rest, own, _REMAPPED[number]),
            (*seed, number),
            largest_gradient=5.0,
        )
        network.train()
        loop.run(training, None, on_stretch)
        network.eval()
    return network


def label_by_itself(network: Inspector, data: TrainingSet, chosen: IndexArray) -> ByteArray:
    """Label slices by the network, NO_LABEL where it is not certain: [len(chosen), S, S]."""
    size = data.labels.shape[1]
    own = np.empty((len(chosen), size, size), np.uint8)
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(chosen), _BATCH):
            x = torch.from_numpy(data.slices(chosen[start : start + _BATCH]))[:, None]
            tissues = network(x).anatomy.softmax(dim=1)
            fine = functional.interpolate(tissues, scale_factor=2, mode="bilinear")
            certainty, tissue = fine.max(dim=1)
            kept = torch.where(certainty > _CERTAIN, tissue, NO_LABEL)
            own[start : start + _BATCH] = kept.numpy().astype(np.uint8)
    return own


def segmentation_loss(logits: Tensor, labels: ByteArray) -> Tensor:
    """Cross entropy and soft Dice (Milletari et al., 2016) of the pixels that have a label.

    Args:
        logits: [B, 4, S/2, S/2].
        labels: [B, S, S]; every second one is that of an output's pixel.
    """
    halved = torch.from_numpy(labels[:, ::2, ::2].astype(np.int64))
    known = halved != NO_LABEL
    target = torch.where(known, halved, 0)
    entropy = functional.cross_entropy(logits, target, reduction="none") * known
    n_known = known.sum(dim=(1, 2)).clamp(min=1)
    found = logits.softmax(dim=1)[:, 1:] * known[:, None]
    wanted = functional.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:]
    wanted = wanted * known[:, None]
    overlap = 2 * (found * wanted).sum(dim=(2, 3)) + 1
    dice = overlap / (found.sum(dim=(2, 3)) + wanted.sum(dim=(2, 3)) + 1)
    return (entropy.sum(dim=(1, 2)) / n_known + 1 - dice.mean(dim=1)).mean()


def _cosine(rate: float, steps: int) -> Callable[[int], float]:
    """Return half a cosine to zero, after a short rise."""
    return lambda step: (
        rate * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )


def _loss(
    network: Inspector,
    data: TrainingSet,
    rest: IndexArray,
    own: ByteArray | None,
    remapped: float,
) -> Callable[[int, np.random.Generator], Tensor]:
    """Return the loss of a step: of masks alone, or of masks and the network's own labels."""

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        n_masks = _BATCH if own is None else _OF_MASKS
        chosen = rng.choice(data.labelled, n_masks)
        x, labels = data.slices(chosen), np.asarray(data.labels[chosen])
        if own is not None:
            drawn = rng.integers(len(rest), size=_BATCH - n_masks)
            x = np.concatenate([x, data.slices(rest[drawn])])
            labels = np.concatenate([labels, own[drawn]])
        x, labels = vary_labelled(x, labels, rng)
        x = np.where(rng.random((_BATCH, 1, 1)) < remapped, remap(x, rng), x)
        tensor = torch.from_numpy(disturb(x, rng))[:, None]
        return segmentation_loss(network(tensor).anatomy, labels)

    return loss

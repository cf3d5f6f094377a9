"""The second, small network in PyTorch: segments the anatomy, marks local anomalies, names faults.

The autoencoder shows how well a slice is rebuilt. What it misses (blur and motion are *easier* to
rebuild, lesions are small) is learned here from corruptions planted into usual slices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.spec import InspectorConfig


class Inspection(NamedTuple):
    """The network's output for slices.

    Args:
        anatomy: logits of background, vertebra, canal, disc, [B, 4, S/2, S/2].
        marks: logits of "this pixel was changed", [B, 1, S/2, S/2].
        faults: logits of each kind of corruption, [B, F].
        features: channel means and spreads of every encoder stage, [B, D].
    """

    anatomy: Tensor
    marks: Tensor
    faults: Tensor
    features: Tensor


class Inspector(nn.Module):
    """A U-shaped network of residual stages, [B, 1, S, S] -> Inspection.

    Its outputs have half the input's resolution: they are predicted at a quarter of it, four
    pixels at a time (pixel shuffle), which keeps the expensive first stages narrow.

    Args:
        config: sizes; 0.4 M parameters by default.
    """

    def __init__(self, config: InspectorConfig) -> None:
        super().__init__()
        self.config = config
        first, *stages = config.channels
        self.stem = _convolution(1, first, stride=2)
        self.stages = nn.ModuleList()
        c_in = first
        for depth, c_out in enumerate(stages):
            down = _convolution(c_in, c_out, stride=2)
            # Two more convolutions in the first, most expensive stage took 0.8 of 3.4 ms.
            self.stages.append(nn.Sequential(down, Residual(c_out)) if depth else down)
            c_in = c_out
        pairs = list(zip(reversed(stages[1:]), reversed(stages[:-1]), strict=True))
        self.lateral = nn.ModuleList(nn.Conv2d(deep, shallow, 1) for deep, shallow in pairs)
        self.merge = nn.ModuleList(_convolution(shallow, shallow) for _, shallow in pairs)
        self.anatomy = nn.Conv2d(stages[0], 4 * config.n_tissues, 1)
        self.marks = nn.Conv2d(stages[0], 4, 1)
        self.n_features = 2 * sum(config.channels)
        self.hidden = nn.Linear(self.n_features, config.hidden)
        self.faults = nn.Linear(config.hidden, len(config.faults))

    def forward(self, x: Tensor) -> Inspection:
        """[B, 1, S, S] in [0, 1] -> its inspection."""
        x = self.stem(x)
        pooled, skips = [_pool(x)], []
        for stage in self.stages:
            x = stage(x)
            pooled.append(_pool(x))
            skips.append(x)
        features = torch.cat(pooled, dim=1)
        x = skips.pop()
        for lateral, merge in zip(self.lateral, self.merge, strict=True):
            x = functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest")
            x = merge(x + skips.pop())
        return Inspection(
            anatomy=functional.pixel_shuffle(self.anatomy(x), 2),
            marks=functional.pixel_shuffle(self.marks(x), 2),
            faults=self.faults(self.hidden(features).relu()),
            features=features,
        )

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters())


class Residual(nn.Module):
    """Two convolutions with a skip connection: [B, C, H, W] -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the convolutions' output to their input."""
        return functional.relu(x + self.body(x))


def _convolution(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(),
    )


def _pool(x: Tensor) -> Tensor:
    """Pool means and standard deviations over the picture: [B, C, H, W] -> [B, 2 C]."""
    mean = x.mean(dim=(2, 3))
    # Blur and noise leave the means as they are and change the spread.
    variance = (x * x).mean(dim=(2, 3)) - mean * mean
    return torch.cat([mean, (variance.clamp(min=0) + 1e-6).sqrt()], dim=1)

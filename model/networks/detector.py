"""Both networks as one PyTorch module, which is exported as one graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks.autoencoder import Autoencoder
from model.networks.inspector import Inspector
from model.scoring import FloatArray, Outputs
from preprocessing.resizing import resize_matrix

_BOX = 9  # pixels of the autoencoder's picture: 18 mm on a 250 mm field
_FLAT = 0.002  # squared gradient below which there is no edge


class DetectorOutput(NamedTuple):
    """The networks' outputs for slices x, [B, 1, S, S] in [0, 1].

    Args:
        x_small: the autoencoder's input, [B, 1, s, s] in [0, 1].
        x_hat: its reconstruction, same shape and range.
        residual: `NormalisedResidual` of both, [B, 1, s, s].
        tissues: logits of background, vertebra, canal, disc, [B, 4, S/2, S/2]; not probabilities,
            since only the largest counts and a softmax over channels takes 0.4 ms.
        marks: probability that a pixel was changed, averaged over 3 x 3, [B, 1, S/2, S/2].
        faults: logits of each kind of fault, [B, F].
        features: the inspector's pooled stages, then the autoencoder's code, [B, D].
    """

    x_small: Tensor
    x_hat: Tensor
    residual: Tensor
    tissues: Tensor
    marks: Tensor
    faults: Tensor
    features: Tensor


class Detector(nn.Module):
    """The autoencoder at its own size and the inspector at the input's.

    Args:
        autoencoder: trained on slices reduced by `Reduce`.
        inspector: takes the input's size.
    """

    def __init__(self, autoencoder: Autoencoder, inspector: Inspector) -> None:
        super().__init__()
        self.reduce = Reduce(inspector.config.size, autoencoder.config.size)
        self.autoencoder = autoencoder
        self.residual = NormalisedResidual(autoencoder.config.size)
        self.inspector = inspector

    def forward(self, x: Tensor) -> DetectorOutput:
        """[B, 1, S, S] in [0, 1] -> everything that the scores are made of."""
        x_small = self.reduce(x)
        code = self.autoencoder.encode(x_small)
        x_hat = self.autoencoder.decode(code)
        seen = self.inspector(x)
        return DetectorOutput(
            x_small=x_small,
            x_hat=x_hat,
            residual=self.residual(x_small, x_hat),
            tissues=seen.anatomy,
            marks=functional.avg_pool2d(seen.marks.sigmoid(), 3, stride=1, padding=1),
            faults=seen.faults,
            features=torch.cat([seen.features, code], dim=1),
        )

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of both networks."""
        return self.autoencoder.n_parameters + self.inspector.n_parameters


def compute(detector: Detector, x: FloatArray) -> Outputs:
    """Slices [B, 1, S, S] in [0, 1] -> the outputs of both networks, by the detector's device."""
    device = next(detector.parameters()).device
    with torch.inference_mode():
        outputs = detector(torch.from_numpy(x).to(device))
    return Outputs(*(o.cpu().numpy() for o in outputs))


class NormalisedResidual(nn.Module):
    """Divide the local residual by the local edges, because a blurred edge is not an anomaly.

    With b the mean over 9 x 9 pixels (zero outside) and g the gradient by central differences,
    b((x - x_hat)^2) / (b(g_y^2 + g_x^2) + 0.002). The mean is computed as two products with a band
    matrix: the whole graph takes 3.9 ms with them, and 9.9 ms with onnxruntime's average pooling of
    this size.

    Args:
        size: side of the autoencoder's picture.
    """

    band: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        distance = torch.arange(size)[:, None] - torch.arange(size)[None, :]
        band = (distance.abs() <= _BOX // 2).float() / _BOX
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """[B, 1, s, s] twice -> [B, 1, s, s], >= 0."""
        down = functional.pad(x[:, :, 2:] - x[:, :, :-2], (0, 0, 1, 1))
        right = functional.pad(x[:, :, :, 2:] - x[:, :, :, :-2], (1, 1, 0, 0))
        edges = 0.25 * (down.square() + right.square())
        return self._mean((x - x_hat).square()) / (self._mean(edges) + _FLAT)

    def _mean(self, values: Tensor) -> Tensor:
        return self.band @ values @ self.band


class Reduce(nn.Module):
    """Resize squares as preprocessing does, by two matrix products: [B, 1, S, S] -> [B, 1, s, s].

    Args:
        size: S.
        smaller: s, at most S.
    """

    matrix: Tensor

    def __init__(self, size: int, smaller: int) -> None:
        super().__init__()
        self.register_buffer(
            "matrix", torch.from_numpy(resize_matrix(size, smaller).copy()), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Average by a triangle filter; the weights sum to 1, so [0, 1] stays [0, 1]."""
        return (self.matrix @ x @ self.matrix.T).clamp(0, 1)

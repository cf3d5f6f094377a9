"""The convolutional autoencoder in PyTorch; serving does not import it unless asked for torch."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from model.spec import AutoencoderConfig


class Autoencoder(nn.Module):
    """Rebuild a slice through a narrow global code.

    Each encoder stage halves the resolution; each decoder stage convolves at the low resolution
    into four times the channels and unfolds them (pixel shuffle). That costs a quarter of what
    upsampling first would, and leaves no checkerboard artefacts (Shi et al., CVPR 2016).

    Args:
        config: sizes; 0.76 M parameters by default.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        side = config.size // 2 ** len(channels)
        features = channels[-1] * side * side
        self.encoder = nn.Sequential(
            *(_down(c_in, c_out) for c_in, c_out in pairwise((1, *channels)))
        )
        self.to_latent = nn.Linear(features, config.latent)
        self.from_latent = nn.Linear(config.latent, features)
        self.unflatten = nn.Unflatten(1, (channels[-1], side, side))
        self.decoder = nn.Sequential(
            *(_up(c_in, c_out) for c_in, c_out in pairwise(reversed(channels))),
            nn.Conv2d(channels[0], 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, x: Tensor) -> Tensor:
        """[B, 1, S, S] in [0, 1] -> the global code, [B, latent]."""
        code: Tensor = self.to_latent(self.encoder(x).flatten(1))
        return code

    def decode(self, code: Tensor) -> Tensor:
        """[B, latent] -> [B, 1, S, S] in [0, 1]."""
        x_hat: Tensor = self.decoder(self.unflatten(self.from_latent(code).relu()))
        return x_hat.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, S, S] in [0, 1] -> its reconstruction, same shape and range."""
        return self.decode(self.encode(x))

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters())


def _down(c_in: int, c_out: int) -> nn.Sequential:
    """Halve the resolution: [B, c_in, H, W] -> [B, c_out, H/2, W/2]."""
    # The batch norm has its own bias, and folds into the convolution when exported.
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(),
    )


def _up(c_in: int, c_out: int) -> nn.Sequential:
    """Double the resolution: [B, c_in, H, W] -> [B, c_out, 2H, 2W]."""
    return nn.Sequential(
        nn.Conv2d(c_in, 4 * c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(4 * c_out),
        nn.ReLU(),
        nn.PixelShuffle(2),
    )

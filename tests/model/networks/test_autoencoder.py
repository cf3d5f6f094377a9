"""The network's shapes and size."""

import pytest
import torch

from model.networks.autoencoder import Autoencoder
from model.spec import AutoencoderConfig


@pytest.mark.parametrize(
    "config",
    [
        AutoencoderConfig(),
        AutoencoderConfig(size=64, channels=(4, 8), latent=3),
        AutoencoderConfig(size=192, channels=(8, 16, 32, 64, 128), latent=16),
    ],
)
def test_a_reconstruction_has_the_shape_and_range_of_its_slice(config: AutoencoderConfig) -> None:
    x = torch.rand(2, 1, config.size, config.size)
    x_hat = Autoencoder(config)(x)
    assert x_hat.shape == x.shape
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


def test_the_code_between_encoder_and_decoder_is_one_narrow_vector() -> None:
    network = Autoencoder(AutoencoderConfig(latent=7))
    assert network.encode(torch.rand(3, 1, 128, 128)).shape == (3, 7)


def test_the_default_network_has_755676_parameters() -> None:
    assert Autoencoder(AutoencoderConfig()).n_parameters == 755_676


def test_a_size_that_the_stages_cannot_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of 32"):
        AutoencoderConfig(size=100)

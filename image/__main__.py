"""The command line of `python -m image`."""

from __future__ import annotations

import sys

import click

from image.build import BuildError, build
from image.engine import EngineError, image_bytes
from model.errors import ModelError


@click.command()
@click.option(
    "--model",
    default="pretrained/spine_autoencoder.bentomodel",
    show_default=True,
    help="A tag of the store (name, name:version or name:stage), or a .bentomodel file.",
)
@click.option("--tag", default="dicom-autoencoder:latest", show_default=True, help="Of the image.")
@click.option("--network", help="Of the build, for docker build; the engine's own without it.")
def main(model: str, tag: str, network: str | None) -> None:
    """Build the Bento and its image.

    Exit 1 with one line when that cannot be done; neither of the two is left then.

    Example: python -m image --model spine_autoencoder:production --tag dicom-autoencoder:site-2
    """
    try:
        bento = build(model, tag, network)
        click.echo(f"{tag}, {image_bytes(tag) / 1e6:.0f} MB, of {bento}")
    except (BuildError, EngineError, ModelError) as error:
        click.echo(f"image: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

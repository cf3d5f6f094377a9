"""The command line of `python -m image`."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from image.build import BuildError, ImageRequest, build
from image.engine import EngineError
from model.errors import ModelError


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model",
    default="pretrained/spine_autoencoder.bentomodel",
    show_default=True,
    help="A tag of the store (name, name:version or name:stage), or a .bentomodel file.",
)
@click.option("--tag", default="dicom-autoencoder:latest", show_default=True, help="Of the image.")
@click.option("--version", help="A label of the image; the project's own without it.")
@click.option("--base", help="Image of Python 3.11 to start from, such as a mirror's.")
@click.option("--network", help="Of the build, for docker build; the engine's own without it.")
def main(model: str, tag: str, version: str | None, base: str | None, network: str | None) -> None:
    """Build the Bento and its image.

    Exit 1 with one line when that cannot be done; neither of the two is kept.

    Example: python -m image --model spine_autoencoder:production --tag dicom-autoencoder:site-2
    """
    # As a Ctrl-C does: clean up what was begun.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        built = build(ImageRequest(model, tag, version, base, network))
        click.echo(f"{tag}, {built.n_bytes / 1e6:.0f} MB, of {built.bento}")
    except (BuildError, EngineError, ModelError) as error:
        click.echo(f"image: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("image: interrupted; nothing was built", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()

"""`bentoml containerize` with the recipe next to this file; a step of `python -m image`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

RECIPE = Path(__file__).with_name("Dockerfile")
BACKEND = "docker-with-our-recipe"


def build_arguments(*, file: str, context_path: str, **options: object) -> list[str]:
    """Return the arguments of `docker build`: BentoML's, with our recipe in place of its own.

    Args:
        file: BentoML's recipe, which is not used.
        context_path: the Bento and its models, put together by BentoML.
        options: of `docker build`, with underscores; several values as a tuple.
    """
    arguments = ["--file", str(RECIPE)]
    for name, given in options.items():
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None:
                arguments += [f"--{name.replace('_', '-')}", str(value)]
    return [*arguments, context_path]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bento")
@click.option("--tag", required=True, help="Of the image, name:tag.")
@click.option("--build-arg", multiple=True, help="NAME=VALUE, for the recipe.")
@click.option("--label", multiple=True, help="NAME=VALUE.")
@click.option("--network", help="Of the build; the engine's default without it.")
def main(
    bento: str, tag: str, build_arg: tuple[str, ...], label: tuple[str, ...], network: str | None
) -> None:
    """Build an image of BENTO (name:version); exit 1 when that fails, with the engine's log."""
    from bentoml import container

    container.register_backend(
        BACKEND,
        binary=shutil.which("docker"),
        buildkit_support=True,
        health=lambda: True,  # python -m image has asked the engine already
        construct_build_args=build_arguments,  # type: ignore[arg-type]  # any list will do
        env={"DOCKER_BUILDKIT": "1"},
    )
    # Its overloads know the options of BentoML's own backends.
    build: Callable[..., bytes | None] = container.build
    built = build(
        bento,
        BACKEND,
        tag=(tag,),
        build_arg=build_arg,
        label=label,
        network=network,
        progress="plain",
    )
    sys.exit(built is None)  # BentoML logs what happened, and returns None


if __name__ == "__main__":
    main()
